"""Sources: where contracts and records are read from: a folder, a wheel, or an address that serves a list of files."""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urljoin, urlsplit

import urllib3

from eventbus.contracts.contract import Contract
from eventbus.contracts.reading import read_contract
from eventbus.errors import ContractError
from eventbus.runtime.loopback import is_loopback
from eventbus.runtime.redaction import one_line

INDEX = "index.json"
"""File beside the contracts that lists their paths, for who cannot list a folder: a JSON array of texts."""

INSECURE = "EVENTBUS_CONTRACTS_INSECURE"
"""Variable that lets contracts come over plain http from other machines."""

_LARGEST = 4 * 1024 * 1024
_LARGEST_IN_ALL = 64 * 1024 * 1024
_MOST = 10_000
_LONGEST = 10.0
_LONGEST_IN_ALL = 120.0
"""Seconds for one file of an address, to its last byte, and for all."""


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


def _check_way(address: str) -> None:
    """Raise ContractError where what an address answers could be changed on its way."""
    parts = urlsplit(address)
    if parts.scheme == "https" or is_loopback(parts.hostname or "") or os.environ.get(INSECURE, "") not in ("", "0"):
        return
    raise ContractError(
        f"{address}: over http to another machine anybody on the way could change contracts; use https, or say that it is "
        f"meant with --insecure or {INSECURE}=1"
    )


def _from_address(address: str) -> Iterator[tuple[str, bytes]]:
    _check_way(address)
    # a redirect is told and not followed: it could lead into a network that the address is not of, or out of https
    http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5.0, read=_LONGEST), retries=urllib3.Retry(2, redirect=False))
    try:
        paths = json.loads(_get(http, urljoin(address, INDEX)))
    except ValueError as error:
        raise ContractError(f"{address}{INDEX}: no JSON: {error}") from None
    if not isinstance(paths, list) or len(paths) > _MOST or not all(isinstance(each, str) for each in paths):
        raise ContractError(f"{address}{INDEX}: give a JSON array of the contracts' paths")
    deadline, size = time.monotonic() + _LONGEST_IN_ALL, 0
    for path in paths:
        if path.startswith("/") or ".." in path or "://" in path:
            raise ContractError(f"{address}{INDEX}: {path!r} leads outside; give paths as topic/Type.v1.json")
        content = _get(http, urljoin(address, quote(path)))
        size += len(content)
        if size > _LARGEST_IN_ALL:
            raise ContractError(f"{address}: more than {_LARGEST_IN_ALL:,} bytes in all")
        if time.monotonic() > deadline:
            raise ContractError(f"{address}: not read within {_LONGEST_IN_ALL:g} s; get a copy and name its folder")
        yield path, content


def _get(http: urllib3.PoolManager, address: str) -> bytes:
    try:
        answer = http.request("GET", address, preload_content=False)
        try:
            body = _body(answer, address) if answer.status == 200 else b""
        finally:
            answer.close()
    except urllib3.exceptions.HTTPError as error:
        raise ContractError(f"{address}: cannot be reached: {type(error).__name__}") from None
    if 300 <= answer.status < 400:
        there = one_line(answer.headers.get("Location", "nowhere"))
        raise ContractError(f"{address}: has moved to {there}; redirects are not followed, name the place itself")
    if answer.status != 200:
        raise ContractError(f"{address}: answers {answer.status}")
    return body


def _body(answer: urllib3.BaseHTTPResponse, address: str) -> bytes:
    deadline, body = time.monotonic() + _LONGEST, bytearray()
    while part := answer.read1(64 * 1024):
        body += part
        if len(body) > _LARGEST:
            raise ContractError(f"{address}: larger than {_LARGEST:,} bytes")
        if time.monotonic() > deadline:
            raise ContractError(f"{address}: not read within {_LONGEST:g} s")
    return bytes(body)
