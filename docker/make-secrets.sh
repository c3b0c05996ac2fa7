#!/bin/sh
# Makes a folder of random passwords for docker compose: sh docker/make-secrets.sh [FOLDER]. What is there stays as it is.
set -eu
folder=${1:-secrets}
mkdir -p "$folder"
chmod 700 "$folder" # the files are read by the users of the containers, so the folder keeps others on this machine out
for name in postgres_password orders_owner_password orders_password fulfillment_owner_password fulfillment_password \
  email_owner_password email_password page_token; do
  file=$folder/$name
  [ -s "$file" ] && continue
  head -c 24 /dev/urandom | base64 | tr -d '\n' >"$file"
  chmod 444 "$file"
done
