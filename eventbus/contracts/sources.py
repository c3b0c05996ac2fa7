"""Sources: where contracts and records are read from: a folder, a wheel, or an address that serves a list of files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urljoin

import urllib3

from eventbus.contracts.contract import Contract
from eventbus.contracts.reading import read_contract
from eventbus.errors import ContractError

INDEX = "index.json"
"""File beside the contracts that lists their paths, for who cannot list a folder: a JSON array of texts."""

_LARGEST = 4 * 1024 * 1024
_MOST = 10_000


def load_contracts(source: str | Path) -> list[Contract]:
    """Return all contracts of a folder, a wheel (`.whl`) or an `http(s)://` address, by topic, type and version.

    Raises:
        ContractError: it cannot be read, or a file in it is no contract or lies in the wrong place; names source and file.
    """
    files = read_files(source, "contracts", "*/*.v*.json", "eventbus contracts publish MODULE")
    contracts = [_read(path, content, str(source)) for path, content in files]
    contracts.sort(key=lambda each: (each.topic, each.type, each.version))
    return contracts


def read_files(source: str | Path, name: str, pattern: str, command: str) -> Iterator[tuple[str, bytes]]:
    """Yield paths and contents of the files of a folder, of `name/` in a wheel, or of an address.

    Args:
        pattern: of the paths inside.
        command: what makes the folder, for messages.

    Raises:
        ContractError: it cannot be read; names source and file.
    """
    text = str(source)
    if text.startswith(("http://", "https://")):
        return _from_address(text if text.endswith("/") else text + "/")
    if text.endswith(".whl"):
        return _from_wheel(Path(text), name, pattern)
    return _from_folder(Path(text), pattern, command)


def _read(path: str, content: bytes, source: str) -> Contract:
    place = f"{source.rstrip('/')}/{path}"
    try:
        contract = read_contract(content.decode("utf-8"), place)
    except UnicodeDecodeError:
        raise ContractError(f"{place}: no UTF-8") from None
    if not path.endswith(contract.path):
        raise ContractError(f"{place}: says that it is {contract.path}; move the file there")
    return contract


def _from_folder(folder: Path, pattern: str, command: str) -> Iterator[tuple[str, bytes]]:
    if not folder.is_dir():
        raise ContractError(f"{folder}: no such folder; make it with: {command}")
    for path in sorted(folder.glob(pattern)):
        yield path.relative_to(folder).as_posix(), path.read_bytes()


def _from_wheel(wheel: Path, name: str, pattern: str) -> Iterator[tuple[str, bytes]]:
    inside = f"/{name}/"
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = {f"/{path}".split(inside, 1)[1]: path for path in archive.namelist() if inside in f"/{path}"}
            for path in sorted(path for path in found if PurePosixPath(path).match(pattern)):
                if archive.getinfo(found[path]).file_size > _LARGEST:
                    raise ContractError(f"{wheel}: {found[path]}: larger than {_LARGEST:,} bytes")
                yield path, archive.read(found[path])
    except (OSError, zipfile.BadZipFile) as error:
        raise ContractError(f"{wheel}: no wheel that can be read: {error}") from None


def _from_address(address: str) -> Iterator[tuple[str, bytes]]:
    http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5.0, read=15.0), retries=urllib3.Retry(2, redirect=3))
    try:
        paths = json.loads(_get(http, urljoin(address, INDEX)))
    except ValueError as error:
        raise ContractError(f"{address}{INDEX}: no JSON: {error}") from None
    if not isinstance(paths, list) or len(paths) > _MOST or not all(isinstance(each, str) for each in paths):
        raise ContractError(f"{address}{INDEX}: give a JSON array of the contracts' paths")
    for path in paths:
        if path.startswith("/") or ".." in path or "://" in path:
            raise ContractError(f"{address}{INDEX}: {path!r} leads outside; give paths as topic/Type.v1.json")
        yield path, _get(http, urljoin(address, quote(path)))


def _get(http: urllib3.PoolManager, address: str) -> bytes:
    try:
        answer = http.request("GET", address, preload_content=False)
        try:
            body = answer.read(_LARGEST + 1)
        finally:
            answer.release_conn()
    except urllib3.exceptions.HTTPError as error:
        raise ContractError(f"{address}: cannot be reached: {type(error).__name__}") from None
    if answer.status != 200:
        raise ContractError(f"{address}: answers {answer.status}")
    if len(body) > _LARGEST:
        raise ContractError(f"{address}: larger than {_LARGEST:,} bytes")
    return bytes(body)
