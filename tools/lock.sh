#!/bin/sh
# Writes requirements/*.lock: every version pinned with hashes for all supported Pythons, and no index or download address.
set -eu
uv=.venv/bin/uv
options="--quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url"
# hatchling and editables build the editable install of this project itself
printf 'hatchling==1.33.0\neditables\n' | $uv pip compile $options pyproject.toml --extra scenario - -o requirements/run.lock
for service in orders fulfillment email_confirmation; do # what its image holds
  $uv pip compile $options pyproject.toml --extra cli --extra fast --extra $service -o requirements/$service.lock
done
$uv pip compile $options pyproject.toml --all-extras --group dev -o requirements/dev.lock
$uv pip compile $options pyproject.toml --all-extras --group dev --group bench -o requirements/bench.lock
