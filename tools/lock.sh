#!/bin/sh
# Writes requirements/*.lock: every version pinned with hashes for all supported Pythons, and no index or download address.
set -eu
uv=.venv/bin/uv
options="--quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url"
library="--extra cli --extra fast --extra sql" # what a service of the scenario runs with
$uv pip compile $options pyproject.toml $library --extra contracts --group scenario --group build -o requirements/run.lock
for service in orders fulfillment email_confirmation; do # what its image holds
  $uv pip compile $options pyproject.toml $library --group $service -o requirements/$service.lock
done
$uv pip compile $options pyproject.toml --all-extras --group dev -o requirements/dev.lock
$uv pip compile $options pyproject.toml --all-extras --group dev --group bench -o requirements/bench.lock
$uv pip compile $options pyproject.toml --all-extras --group dev --group audit -o requirements/audit.lock
$uv pip compile $options pyproject.toml --all-extras --group dev --group docs -o requirements/docs.lock
