"""CloudEvents' own SDKs of JavaScript and Go read what we write, and what they write is read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from eventbus.wire.codec import JsonCodec, decode
from eventbus.wire.envelope import Envelope
from tests.contracts.test_documents import missing
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
JAVASCRIPT = """
const { CloudEvent } = require("cloudevents");
const lines = require("node:fs").readFileSync(0, "utf8").split("\\n").filter(Boolean);
for (const line of lines) console.log(JSON.stringify(new CloudEvent(JSON.parse(line), true)));
for (const data of [{ a: 1 }, Buffer.from('{"a":1}')]) {
  const own = { id: "own", source: "/shop/orders?a=b", type: "OrderPlaced", datacontenttype: "application/json" };
  console.log(JSON.stringify(new CloudEvent({ ...own, dataversion: 2, depth: "3", data }, true)));
}
"""


_ATTRIBUTES = (
    *("id", "source", "type", "version", "correlation_id", "causation_id", "subject", "depth", "data"),
    *("expires_at", "deliver_at", "extensions"),
)


def _javascript(lines: str, folder: Path) -> str:
    tools = ROOT / "tools" / "asyncapi"
    if not (tools / "node_modules" / "cloudevents").exists() or shutil.which("node") is None:
        missing("the CloudEvents SDK of JavaScript is not here; npm ci --prefix tools/asyncapi")
    command = ["node", "-e", JAVASCRIPT]
    return subprocess.run(
        command, cwd=tools, input=lines, capture_output=True, text=True, timeout=PATIENCE, check=True
    ).stdout


def _go(lines: str, folder: Path) -> str:
    if shutil.which("go") is None:
        missing("Go is not here")
    program = folder / "cloudevents"
    built = subprocess.run(
        ["go", "build", "-o", str(program), "."],
        cwd=ROOT / "tools" / "cloudevents",
        env={**os.environ, "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if built.returncode != 0 and "dial tcp" in built.stderr:
        missing("the CloudEvents SDK of Go cannot be had without a network")
    assert built.returncode == 0, built.stderr
    done = subprocess.run([str(program)], input=lines, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _sent() -> list[Envelope]:
    full = Envelope("0190c5a0-0000-7000-8000-000000000002", "urn:shop:caf%C3%A9", "Paid", "2026-01-31T12:00:00.123456Z", {})
    full.version, full.causation_id, full.subject, full.depth = 7, "0190c5a0-0000-7000-8000-000000000001", "order 17", 4
    full.expires_at = full.deliver_at = 1_800_000_000.5
    full.extensions = {"tenant": "blue"}
    kept = [decode(path.read_bytes()) for path in sorted((ROOT / "tests" / "contracts" / "golden").glob("*/*.json"))]
    plain = [Envelope("1", "orders", "E", "2026-01-31T12:00:00Z", data) for data in ({"a": [1, None, "\u00e9"]}, [], "text")]
    return [full, *kept, *plain]


def _told(envelope: Envelope) -> dict[str, Any]:
    return {name: getattr(envelope, name) for name in _ATTRIBUTES}


@pytest.mark.parametrize("through", [_javascript, _go], ids=["javascript", "go"])
def test_events_go_through_the_sdk_and_come_back(through: Any, tmp_path: Path) -> None:
    sent = _sent()
    lines = [JsonCodec().encode(each).decode() for each in sent]
    back = [decode(line.encode()) for line in through("\n".join(lines), tmp_path).splitlines()]
    for one, other in zip(sent, back[: len(sent)], strict=True):
        assert _told(decode(JsonCodec().encode(one))) == _told(other)
        assert other.time.startswith(one.time[:19])
    own = back[len(sent) :]
    assert len(own) == 2
    for each in own:
        assert (each.id, each.source, each.type, each.data) == ("own", "/shop/orders?a=b", "OrderPlaced", {"a": 1})
        assert (each.version, each.depth) == (2, 3)


def test_what_an_sdk_writes_as_bytes_stands_in_data_base64(tmp_path: Path) -> None:
    written = [json.loads(line) for line in _javascript("", tmp_path).splitlines()]
    assert ["data_base64" in each for each in written] == [False, True]
