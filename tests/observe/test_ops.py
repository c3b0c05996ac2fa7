"""What lies in `ops/` fits the metrics that there are, and PromQL's own tool accepts it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eventbus import Bus, Service
from eventbus.cli.fleet import Fleet
from eventbus.observe import Metrics
from tests.observe.test_metrics import Counted

OPS = Path(__file__).parent.parent.parent / "ops"
PROMTOOL = Path(__file__).parent.parent.parent / ".cache" / "prometheus" / "promtool"


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = str(PROMTOOL) if PROMTOOL.exists() else shutil.which("promtool")
    if path is None:
        message = "promtool is not here; get it with: sh tools/get-promtool.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return subprocess.run([path, *arguments], capture_output=True, text=True, cwd=OPS)


def dashboard() -> Any:
    return json.loads((OPS / "grafana-dashboard.json").read_text())


def expressions() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]


def known_names() -> dict[str, set[str]]:
    """Names of all samples, each with its labels."""
    metrics = Metrics()
    service = Service("reader")
    service.on(Counted)(lambda event: None)
    with Bus("memory://", middleware=[metrics]) as bus:
        bus.start(service)
        metrics.sent("s", "t", 1, 0.1, None)
        metrics.sent("s", "t", 1, 0.1, ValueError())
        metrics.blocked("s", "t", "c", 1.0)
        text = metrics.render().decode()
    found: dict[str, set[str]] = {
        # not told before there is an outbox
        "eventbus_outbox_rows": {"service", "state"},
        "eventbus_outbox_age_seconds": {"service"},
    }
    for family in [*text_string_to_metric_families(text), *Fleet({1: "/nowhere"}, lambda: {1: 0}).collect()]:
        for sample in family.samples:
            name = sample.name if family.type != "counter" or sample.name.endswith("_total") else f"{sample.name}_total"
            found.setdefault(name, set()).update(sample.labels)
    return found


def test_dashboard_and_alerts_name_metrics_and_labels_that_exist() -> None:
    known = known_names()
    texts = [*expressions(), (OPS / "alerts.yml").read_text()]
    named = {name for text in texts for name in re.findall(r"\beventbus_[a-z_]+\b", text)}
    assert named <= known.keys()
    assert len(named) > 12
    for text in texts:
        for name, labels in re.findall(r"\b(eventbus_[a-z_]+)\{([^}]*)\}", text):
            assert set(re.findall(r"([a-z_]+)\s*[=!]", labels)) <= known[name] | {"topic"}, (name, labels)


def test_promtool_accepts_the_rules_and_their_tests_pass() -> None:
    checked = promtool("check", "rules", "alerts.yml")
    assert checked.returncode == 0, checked.stderr
    tested = promtool("test", "rules", "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_promtool_accepts_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:{number}", "expr": each.replace("$__rate_interval", "5m")}
        for number, each in enumerate(expressions())
    ]
    path = tmp_path / "dashboard.json"  # YAML that promtool reads
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = promtool("check", "rules", str(path))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(rules) > 15


def test_promtool_accepts_the_format_of_our_metrics() -> None:
    path = str(PROMTOOL) if PROMTOOL.exists() else shutil.which("promtool")
    if path is None:
        promtool("--version")
    metrics = Metrics()
    metrics.sent("s", 't"\n', 1, 0.1, None)
    checked = subprocess.run([str(path), "check", "metrics"], input=metrics.render(), capture_output=True)
    assert checked.returncode == 0, checked.stderr.decode()


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    identities = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(identities)) == len(identities)
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        mine = {
            (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
        }
        assert not mine & cells, panel["title"]
        cells |= mine
