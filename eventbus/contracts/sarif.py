"""SARIF: what does not fit, as a log that code review shows beside the lines (SARIF 2.1.0, OASIS).

A misfit of a view points at the view's class where that lies in this repository, and at the contract's field otherwise; a
break between two versions points at the field of the newer one.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from eventbus.contracts.contract import Contract
from eventbus.contracts.evolution import Break
from eventbus.contracts.views import Misfit
from eventbus.event import Event
from eventbus.version import __version__

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_RULES = {
    "contract-misfit": "A view cannot read what the owner of an event may send.",
    "contract-break": "A version of an event does not fit another one that is supported.",
    "contract-bytes": "Kept bytes of a published version cannot be read any more.",
}


def sarif(
    *, misfits: Iterable[Misfit] = (), breaks: Iterable[Break] = (), golden: Iterable[str] = (), root: Path | None = None
) -> dict[str, Any]:
    """Return the log.

    Args:
        golden: what is wrong with kept bytes, in words that begin with the file.
        root: folder of the repository, to which places are relative; the current one unless given.
    """
    base = (root or Path.cwd()).resolve()
    results = [_result("contract-misfit", str(each), _of_view(each, base), each.view.name) for each in misfits]
    results += [
        _result("contract-break", str(each), _of_contract(_newer(each), each.difference.path, base), _newer(each).path)
        for each in breaks
    ]
    results += [_result("contract-bytes", each, _of_file(Path(each.split(": ")[0]), 1, base), "") for each in golden]
    rules = [
        {"id": name, "shortDescription": {"text": text}, "defaultConfiguration": {"level": "error"}}
        for name, text in _RULES.items()
    ]
    driver = {"name": "eventbus contracts", "version": __version__, "rules": rules}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(rule: str, text: str, location: dict[str, Any] | None, subject: str) -> dict[str, Any]:
    told = f"{rule}\n{subject}\n{text.splitlines()[0]}"
    return {
        "ruleId": rule,
        "ruleIndex": list(_RULES).index(rule),
        "level": "error",
        "message": {"text": text},
        "locations": [] if location is None else [location],
        "partialFingerprints": {"contract/v1": hashlib.sha256(told.encode()).hexdigest()},
    }


def _newer(found: Break) -> Contract:
    return max(found.writer, found.reader, key=lambda each: each.version)


def _of_view(misfit: Misfit, base: Path) -> dict[str, Any] | None:
    return _of_class(misfit.view.event_type, base) or (
        None if misfit.contract is None else _of_contract(misfit.contract, "", base)
    )


def _of_class(event_type: type[Event], base: Path) -> dict[str, Any] | None:
    try:
        file, (_, line) = inspect.getsourcefile(event_type), inspect.getsourcelines(event_type)
    except (OSError, TypeError):  # made by a program, or its source is not here
        return None
    return None if file is None else _of_file(Path(file), line, base)


def _of_contract(contract: Contract, path: str, base: Path) -> dict[str, Any] | None:
    if not Path(contract.place).is_file():
        return None if "://" not in contract.place else _place(contract.place, 1)
    name = json.dumps(path.rsplit(".", 1)[-1].rstrip("[]{}") or "properties", ensure_ascii=False)
    lines = Path(contract.place).read_text(encoding="utf-8").splitlines()
    line = next((number for number, each in enumerate(lines, 1) if each.strip().startswith(f"{name}: {{")), 1)
    return _of_file(Path(contract.place), line, base)


def _of_file(path: Path, line: int, base: Path) -> dict[str, Any]:
    place = path.resolve()
    is_inside = place.is_relative_to(base)
    return _place(quote(place.relative_to(base).as_posix()) if is_inside else place.as_uri(), max(line, 1))


def _place(uri: str, line: int) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}}
