#!/bin/sh
# Runs a command beside so many busy processes: tools/beside-busy.sh 6 make test
set -eu
count=$1
shift
busy=
end() {
  for each in $busy; do kill "$each" 2>/dev/null || :; done
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
while [ "$count" -gt 0 ]; do
  nice -n 5 sh -c 'while :; do :; done' &
  busy="$busy $!"
  count=$((count - 1))
done
"$@"
