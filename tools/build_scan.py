"""Builds the extension in C where there is a compiler; without one, or where it fails, the installation goes on without it.

Hatchling calls `BuildHook` for a wheel and for an editable installation (pyproject.toml); an image, which installs no wheel,
runs `python tools/build_scan.py eventbus/wire`. Nothing is needed but the compiler that Python itself was built with and
Python's headers. The binary is for every Python from 3.11 on, since it uses the stable interface alone.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # in an image
    BuildHookInterface = object  # type: ignore[assignment, misc]

NAME = "_scan.abi3.so"
_FOLDER = Path("eventbus", "wire")
_OPTIONS = ["-std=c11", "-O2", "-g0", "-DNDEBUG", "-fPIC", "-fvisibility=hidden"]
_SECONDS = 120.0


def build(folder: Path, target: Path, *, watched: Sequence[str] = ()) -> str | None:
    """Compile `folder`'s source into the file `target`; return why it could not be, or None.

    Args:
        watched: options for a binary that watches its own memory; it is loaded only where their library is.
    """
    if os.environ.get("EVENTBUS_PURE"):
        return "EVENTBUS_PURE is set"
    linker = shlex.split(sysconfig.get_config_var("LDSHARED") or "")
    if not linker or sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this Python loads no such extension"
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary, NAME)
        include = f"-I{sysconfig.get_path('include')}"
        command = [*linker, *_OPTIONS, *watched, include, str(folder / "_scan.c"), "-o", str(made), "-lm"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
            if done.returncode:
                return f"{linker[0]}: {done.stderr.strip()[:2000]}"
            if not watched:
                _try(made)
            _put(made.read_bytes(), target)
        except Exception as error:  # nothing of it may end an installation
            return f"{type(error).__name__}: {error}"
    return None


def _try(made: Path) -> None:
    spec = importlib.util.spec_from_file_location("_scan", made)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.scan(b"\x80", 1, 1, 1) is None


def _put(data: bytes, target: Path) -> None:
    """Write a file into the place of one that a process may have loaded."""
    beside = target.with_suffix(f".{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(target)


def tell(reason: str | None) -> None:
    """Say how it went, for people."""
    told = "built" if reason is None else f"not built, Python does its work: {reason}"
    sys.stderr.write(f"eventbus: the extension in C was {told}\n")


class BuildHook(BuildHookInterface):  # type: ignore[type-arg, misc]
    """Puts the extension into the wheel, or beside its source for an editable installation."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        folder = Path(self.root, _FOLDER)
        if version == "editable":
            tell(build(folder, folder / NAME))
            return
        self._made = Path(tempfile.mkdtemp(), NAME)
        reason = build(folder, self._made)
        tell(reason)
        if reason is None:
            build_data["force_include"][str(self._made)] = (_FOLDER / NAME).as_posix()
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"cp311-abi3-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        made = getattr(self, "_made", None)
        if made is not None:
            made.unlink(missing_ok=True)
            made.parent.rmdir()


if __name__ == "__main__":
    tell(build(Path(sys.argv[1]), Path(sys.argv[1], NAME)))
