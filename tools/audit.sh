#!/bin/sh
# Looks for known holes in what is installed, for risky code, and for secrets that were committed. Ends with 1 for a finding.
# What is known and explained stands in [tool.bandit] of pyproject.toml and in tools/known-secrets.json.
set -eu
bin=.venv/bin
echo "code: bandit"
$bin/bandit --quiet --configfile pyproject.toml --recursive eventbus services demo tools --exclude tools/asyncapi/node_modules
echo "secrets: detect-secrets"
git ls-files -z | grep -zvE '^(requirements/.*\.lock|tools/known-secrets\.json|.*package-lock\.json)$' | xargs -0 $bin/detect-secrets-hook --baseline tools/known-secrets.json
echo "dependencies: pip-audit"
failed=0
for lock in requirements/run.lock requirements/dev.lock; do
  $bin/pip-audit --requirement $lock --disable-pip --progress-spinner off --format json >.cache/audit.json 2>.cache/audit.log || failed=1
  $bin/python - $lock <<'PYTHON'
import json, sys
found = json.load(open(".cache/audit.json"))["dependencies"]
skipped = [each for each in found if "skip_reason" in each]
holes = [(each["name"], each["version"], hole["id"]) for each in found for hole in each.get("vulns", ())]
print(f"{sys.argv[1]}: {len(found) - len(skipped)} audited, {len(holes)} holes", *holes, sep="\n  ")
if skipped:
    print(f"  {len(skipped)} could not be audited: no source of advisories knows them, or none is reached")
PYTHON
done
exit $failed
