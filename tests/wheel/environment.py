"""A user's environment: fresh, offline, with the dependencies that a wheel declares and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.waiting import PATIENCE


def pip(*arguments: str | Path, **variables: str) -> None:
    """Run pip without an index and without this machine's settings."""
    environment = {**os.environ, **variables}
    command = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * PATIENCE, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def build(source: Path, folder: Path, **variables: str) -> Path:
    """Build the wheel of a project's folder or archive, as an installation would, into an empty folder."""
    pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source, **variables)
    (wheel,) = folder.glob("*.whl")
    return wheel


class Environment:
    """A virtual environment with nothing in it, not even pip."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "environment"
        self._dependencies = folder / "dependencies"
        venv.EnvBuilder(symlinks=True, with_pip=False).create(self.root)
        place = {"base": str(self.root), "platbase": str(self.root)}
        self.bin = Path(sysconfig.get_path("scripts", "venv", vars=place))
        self.site_packages = Path(sysconfig.get_path("purelib", "venv", vars=place))

    def pip(self, *arguments: str | Path) -> None:
        """Run this test's pip on the environment."""
        pip("--python", self.bin / "python", *arguments)

    def install(self, wheel: Path) -> None:
        self.pip("install", "--no-index", "--no-deps", "--no-compile", wheel)

    def uninstall(self, name: str) -> None:
        self.pip("uninstall", "--yes", name)

    def give_dependencies(self, *extras: str, others: Iterable[str] = ()) -> None:
        """Make what eventbus and these extras declare importable, and other packages, and with it all that those need.

        The packages are links to those of the tests' own environment, whose eventbus stays out of sight.
        """
        (installed,) = Distribution.discover(name="eventbus", path=[str(self.site_packages)])
        self._dependencies.mkdir()
        for each in _needed(installed, extras, others):
            for file in each.files or ():
                link = self._dependencies / file.parts[0]
                if file.parts[0] not in ("..", "__pycache__") and not link.is_symlink():
                    link.symlink_to(Path(str(each.locate_file(file.parts[0]))).resolve())
        (self.site_packages / "dependencies.pth").write_text(f"{self._dependencies}\n")

    def run(
        self, program: str, *arguments: str | Path, cwd: Path, timeout: float = PATIENCE, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment; nothing of the tests' own reaches it."""
        mine = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "EVENTBUS_", "PYTEST", "COV"))
        }
        return subprocess.run(
            [self.bin / program, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=cwd,
            env={**mine, "COLUMNS": "100", "NO_COLOR": "1", **variables},
        )

    def files(self) -> dict[str, bytes]:
        """Return path and content of every file, but those that Python compiles by itself."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }


def _needed(installed: Distribution, extras: Iterable[str], others: Iterable[str]) -> list[Distribution]:
    """Return the distributions that one needs with these extras, and others, however indirectly, without itself."""
    own = canonicalize_name(installed.metadata["Name"])
    found = {own: installed}
    left = [(own, extra) for extra in ("", *extras)]
    for other in map(canonicalize_name, others):
        found[other] = distribution(other)
        left.append((other, ""))
    seen = set(left)
    while left:
        name, extra = left.pop()
        for text in found[name].requires or ():
            needed = Requirement(text)
            if needed.marker is not None and not needed.marker.evaluate({"extra": extra}):
                continue
            key = canonicalize_name(needed.name)
            found.setdefault(key, installed if key == own else distribution(needed.name))
            more = {(key, each) for each in ("", *needed.extras)} - seen
            seen |= more
            left += more
    del found[own]
    return list(found.values())
