#!/bin/sh
# Runs the tests on each supported Python that this machine has, each in an environment of its own.
set -eu
ran=0
for version in 3.11 3.12 3.13; do
  for python in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python; do
    "$python" -c 'import sys; sys.exit(0)' 2>/dev/null || continue
    venv=.cache/venv-$version
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    echo "== Python $version"
    "$venv/bin/python" -m pytest "$@"
    ran=$((ran + 1))
    break
  done
done
echo "passed on $ran Python versions"
[ "$ran" -gt 0 ]
