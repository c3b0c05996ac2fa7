#!/bin/sh
# Writes into .env by which digests docker compose takes its images, as they were pulled here: sh docker/pin-images.sh [FILE].
# Again with PULL=1: takes what the tags name now. Look at what changed, `git diff` or a test run, before others get it.
set -eu
file=${1:-.env}
[ -e "$file" ] || cp .env.example "$file"
for pair in NSQ_IMAGE=nsqio/nsq:v1.3.0 POSTGRES_IMAGE=postgres:17 MAILDEV_IMAGE=maildev/maildev:2.2.1 PYTHON_IMAGE=python:3.13-slim-trixie; do
  name=${pair%%=*}
  image=${pair#*=}
  if [ -n "${PULL:-}" ] || ! docker image inspect "$image" >/dev/null 2>&1; then
    docker pull --quiet "$image" >/dev/null
  fi
  digest=$(docker image inspect "$image" --format '{{range .RepoDigests}}{{println .}}{{end}}' | head -n 1)
  if [ -z "$digest" ]; then
    echo "$image was made on this machine and has no digest in a registry: its tag stays" >&2
    continue
  fi
  kept=$(grep -v "^\(# \)\?$name=" "$file" || true)
  printf '%s\n%s=%s # %s\n' "$kept" "$name" "$digest" "$image" >"$file"
  echo "$name=$digest"
done
