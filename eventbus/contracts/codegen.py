"""Code of other languages: types, and functions that read them, made from contracts by quicktype (https://quicktype.io)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from eventbus.contracts.contract import Contract
from eventbus.contracts.writing import write_whole
from eventbus.errors import ContractError

LANGUAGES = ("typescript", "go")
_ENDS = {"typescript": ".ts", "go": ".go"}
_LONGEST = 120.0


def codegen(contracts: Iterable[Contract], language: str, folder: Path, *, generator: str = "quicktype") -> list[Path]:
    """Write a module for each supported version of each event: `orders_placed/OrderPlacedV1.ts`, or a package of Go
    `orders_placed/orderplacedv1/`; return the paths.

    Args:
        language: "typescript" or "go".
        generator: quicktype's program, by name or path.

    Raises:
        ContractError: the language is none of these, quicktype is not here, or it refuses a contract; names the contract.
    """
    if language not in LANGUAGES:
        raise ContractError(f"--to {language}: give {' or '.join(LANGUAGES)}")
    program = shutil.which(generator)
    if program is None:
        raise ContractError(f"{generator}: no such program; install it: npm install --global quicktype, or give --generator")
    written: dict[Path, Contract] = {}
    for contract in contracts:
        if contract.retired is not None:
            continue
        name = _name(contract)
        inner = Path(name.lower()) / name.lower() if language == "go" else Path(name)
        path = folder / contract.topic / f"{inner}{_ENDS[language]}"
        if path in written:
            raise ContractError(
                f"{path}: would hold {written[path].name} and {contract.name}; their names are too much alike"
            )
        written[path] = contract
    for path, contract in written.items():
        _generate(program, contract, language, path)
    return list(written)


def _generate(program: str, contract: Contract, language: str, path: Path) -> None:
    name = _name(contract)
    command = [program, "--src-lang", "schema", "--lang", language, "--top-level", name, "--quiet"]
    command += ["--package", name.lower()] if language == "go" else []
    schema = json.dumps({"$schema": "http://json-schema.org/draft-06/schema#", **contract.schema, "title": name})
    try:
        done = subprocess.run(command, input=schema, capture_output=True, text=True, timeout=_LONGEST, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContractError(f"{program}: {error}") from None
    if done.returncode != 0 or not done.stdout.strip():
        raise ContractError(f"{contract.path}: quicktype refuses it: {(done.stderr or done.stdout).strip()[:400]}")
    write_whole(path, done.stdout)


def _name(contract: Contract) -> str:
    return f"{_identifier(contract.type)}V{contract.version}"


def _identifier(name: str) -> str:
    """Return a name of an event as one of a type: letters and digits of ASCII, a letter first, parts joined."""
    kept = "".join(each if each.isascii() and each.isalnum() else " " for each in name)
    joined = "".join(part[0].upper() + part[1:] for part in kept.split())
    return joined if joined[:1].isalpha() else f"Event{joined}"
