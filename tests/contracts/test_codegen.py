"""Code of other languages, made from the contracts, reads the kept bytes: in Node and in Go themselves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from eventbus import ContractError, Event
from eventbus.cli.contracts import app
from eventbus.contracts import Contract, contract_of, load_contracts
from eventbus.contracts.codegen import codegen
from tests.contracts.test_documents import missing
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
TOOLS = ROOT / "tools" / "asyncapi"
QUICKTYPE = TOOLS / "node_modules" / ".bin" / "quicktype"
GOLDEN = ROOT / "tests" / "contracts" / "golden"

NODE = """
const fs = require("node:fs"), ts = require("typescript"), { decode } = require("@msgpack/msgpack");
const cases = JSON.parse(fs.readFileSync(0, "utf8"));
const read = cases.map(({ file, golden, name }) => {
  const compilerOptions = { module: "commonjs", target: "es2020" };
  const code = ts.transpileModule(fs.readFileSync(file, "utf8"), { compilerOptions });
  const made = { exports: {} };
  new Function("exports", "module", code.outputText)(made.exports, made);
  const bytes = fs.readFileSync(golden);
  const data = (golden.endsWith(".json") ? JSON.parse(bytes) : decode(bytes)).data;
  const value = made.exports.Convert[`to${name}`](JSON.stringify(data));
  let refused = false;
  const wrong = JSON.stringify({ ...data, [Object.keys(data)[0]]: [[1]] });
  try { made.exports.Convert[`to${name}`](wrong); } catch { refused = true; }
  return { data: JSON.parse(made.exports.Convert[`${name[0].toLowerCase()}${name.slice(1)}ToJson`](value)), refused };
});
console.log(JSON.stringify(read));
"""


GO = """package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
	// imports
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func show(path string, read func([]byte) any) {
	decode := json.Unmarshal
	if strings.HasSuffix(path, ".msgpack") {
		decode = msgpack.Unmarshal
	}
	var envelope map[string]any
	if err := decode(must(os.ReadFile(path)), &envelope); err != nil {
		panic(err)
	}
	fmt.Println(string(must(json.Marshal(read(must(json.Marshal(envelope["data"])))))))
}

func main() {
	// calls
}
"""


def quicktype() -> str:
    if not QUICKTYPE.exists() or shutil.which("node") is None:
        missing("quicktype is not here; npm ci --prefix tools/asyncapi")
    return str(QUICKTYPE)


def golden_files(contract: Contract) -> list[Path]:
    """Return the kept bytes of a contract, in both codecs."""
    path = GOLDEN / contract.path
    return [path, path.with_suffix(".msgpack")]


def golden_data(path: Path) -> Any:
    return json.loads(path.with_suffix(".json").read_text())["data"]


def _same(sent: Any, read: Any) -> bool:
    """Whether data are the same; times may be written with other digits."""
    if isinstance(sent, dict) and isinstance(read, dict):
        return sent.keys() == read.keys() and all(_same(sent[name], read[name]) for name in sent)
    if isinstance(sent, list) and isinstance(read, list):
        return len(sent) == len(read) and all(map(_same, sent, read))
    if isinstance(sent, str) and isinstance(read, str) and sent.endswith("Z"):
        return sent.removesuffix("Z").split(".")[0] == read.removesuffix("Z").split(".")[0]
    return bool(sent == read)


def test_node_reads_the_kept_bytes(tmp_path: Path) -> None:
    quicktype()
    arguments = ["codegen", "--to", "typescript", "--out", str(tmp_path), "--contracts", str(ROOT / "contracts")]
    done = CliRunner().invoke(app, [*arguments, "--generator", quicktype()])
    assert done.exit_code == 0, done.output
    assert f"wrote {tmp_path}/orders_placed/OrderPlacedV1.ts" in done.output.replace("\n", "")
    cases = []
    for contract in load_contracts(ROOT / "contracts"):
        name = f"{contract.type}V{contract.version}"
        file = str(tmp_path / contract.topic / f"{name}.ts")
        cases += [{"file": file, "golden": str(golden), "name": name} for golden in golden_files(contract)]
    ran = subprocess.run(
        ["node", "-e", NODE],
        cwd=TOOLS,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    for case, found in zip(cases, json.loads(ran.stdout), strict=True):
        assert _same(golden_data(Path(case["golden"])), found["data"]), case["golden"]
        assert found["refused"], "another type is refused"


def test_go_reads_the_kept_bytes(tmp_path: Path) -> None:
    program = quicktype()
    go = shutil.which("go")
    if go is None:
        missing("Go is not here")
    contracts = load_contracts(ROOT / "contracts")
    paths = codegen(contracts, "go", tmp_path, generator=program)
    imports, calls, read = [], [], []
    for number, (path, contract) in enumerate(zip(paths, contracts, strict=True)):
        imports.append(f'p{number} "events/{path.parent.relative_to(tmp_path).as_posix()}"')
        name = f"{contract.type}V{contract.version}"
        for golden in golden_files(contract):
            reader = f"func(b []byte) any {{ return must(p{number}.Unmarshal{name}(b)) }}"
            calls.append(f"show({json.dumps(str(golden))}, {reader})")
            read.append(golden)
    for file in ("go.mod", "go.sum"):
        shutil.copy(ROOT / "tools" / "msgpack" / file, tmp_path)
    (tmp_path / "main.go").write_text(
        GO.replace("// imports", "\n\t".join(imports)).replace("// calls", "\n\t".join(calls)), encoding="utf-8"
    )
    environment = {**os.environ, "GOWORK": "off", "CGO_ENABLED": "0"}
    ran = subprocess.run(
        [str(go), "run", "."], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if ran.returncode != 0 and "dial tcp" in ran.stderr:
        missing("the module msgpack of Go is not here, nor a network to get it from")
    assert ran.returncode == 0, ran.stderr
    for line, golden in zip(ran.stdout.splitlines(), read, strict=True):
        assert _same(golden_data(golden), json.loads(line)), golden


class Odd(Event, topic="odd", version=1, name="shop/order placed"):
    n: int


class Odder(Event, topic="odd", version=1, name="shop order.placed"):
    n: int


def test_mistakes_are_said(tmp_path: Path) -> None:
    contracts = [contract_of(Odd, "o"), contract_of(Odder, "o")]
    with pytest.raises(ContractError, match="give typescript or go"):
        codegen(contracts, "cobol", tmp_path)
    with pytest.raises(ContractError, match="npm install --global quicktype"):
        codegen(contracts, "go", tmp_path, generator="no-such-program")
    with pytest.raises(ContractError, match="odd/shop%2Forder placed.v1.json: quicktype refuses it"):
        codegen(contracts[:1], "go", tmp_path, generator="false")
    with pytest.raises(ContractError, match="too much alike"):
        codegen(contracts, "go", tmp_path, generator="true")
