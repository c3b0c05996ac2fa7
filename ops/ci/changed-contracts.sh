#!/bin/sh
# Prints as Markdown what changed in each version of an event that this branch adds: changed-contracts.sh BASE [FOLDER]
# BASE is a commit or a branch of git, as origin/main. EVENTBUS_SERVICES: services that read, as module:attribute, with blanks between.
set -eu
base=$1
folder=${2:-contracts}
services=
for service in ${EVENTBUS_SERVICES:-}; do services="$services --service $service"; done
git diff --name-only --diff-filter=A "$base...HEAD" -- "$folder/*.json" | while read -r file; do
  version=$(printf '%s\n' "$file" | sed -n 's/.*\.v\([0-9][0-9]*\)\.json$/\1/p')
  [ -n "$version" ] || continue
  name=${file%.v"$version".json}
  older=$((version - 1))
  while [ "$older" -gt 0 ] && [ ! -f "$name.v$older.json" ]; do older=$((older - 1)); done
  if [ "$older" -eq 0 ]; then
    printf '### New event: `%s`\n\n' "${file#"$folder"/}"
  else
    # 4 says that somebody must do something, which the text says too
    # shellcheck disable=SC2086
    ${EVENTBUS:-eventbus} contracts diff "$name.v$older.json" "$file" --contracts "$folder" --markdown $services || [ $? -eq 4 ]
    echo
  fi
done
