"""What a user gets by installing: the library, and nothing of what the checkout has beside it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

import eventbus
from eventbus.cli.app import COMMANDS
from tests.waiting import PATIENCE
from tests.wheel.environment import Environment, build
from tools import build_scan

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
INFO = f"eventbus-{eventbus.__version__}.dist-info"

WHAT_READS = "from eventbus.wire.scanning import READER; print(READER)"

USERS_PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "shop-of-a-user"
version = "1"

[tool.hatch.build.targets.wheel]
packages = ["services", "demo"]
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the checkout makes."""
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def users_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own distribution, whose packages are called as the scenario's."""
    project = tmp_path_factory.mktemp("user")
    (project / "pyproject.toml").write_text(USERS_PROJECT)
    for package in ("services", "services/orders", "demo"):
        (project / package).mkdir()
        (project / package / "__init__.py").write_text(f"OWNER = 'the user, of {package}'\n")
    return build(project, tmp_path_factory.mktemp("users-wheel"))


@pytest.fixture(scope="module")
def with_extras(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the library and some of its extras."""
    made = Environment(tmp_path_factory.mktemp("with-extras"))
    made.install(wheel)
    made.give_dependencies("cli", "fast", "testing")
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def has_compiler() -> bool:
    return shutil.which(sysconfig.get_config_var("CC").split()[0]) is not None


def of_eventbus(path: str) -> bool:
    return (
        re.fullmatch(rf"bin/eventbus|lib(64)?/python[\d.]+/site-packages/(eventbus|{re.escape(INFO)})/.+", path) is not None
    )


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    names = set(contents(wheel))
    library = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "eventbus").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != build_scan.NAME
    }
    built = {f"eventbus/wire/{build_scan.NAME}"} if has_compiler() else set()
    assert {name for name in names if not name.startswith(f"{INFO}/")} == library | built


@pytest.mark.skipif(not has_compiler(), reason="no C compiler is here")
def test_one_wheel_with_the_extension_serves_every_python(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name.startswith(f"eventbus-{eventbus.__version__}-cp311-abi3-")
    environment = Environment(tmp_path)
    environment.install(wheel)
    environment.give_dependencies()
    assert environment.run("python", "-c", WHAT_READS, cwd=tmp_path).stdout == "C\n"
    pure = f"import os; os.environ['EVENTBUS_PURE'] = '1'; {WHAT_READS}"
    assert environment.run("python", "-c", pure, cwd=tmp_path).stdout == "Python\n"


def test_without_a_compiler_the_wheel_is_of_python_alone(wheel: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    made = build(ROOT, tmp_path / "wheel", PATH=str(nowhere))
    assert made.name == f"eventbus-{eventbus.__version__}-py3-none-any.whl"
    assert contents(made).keys() | {f"eventbus/wire/{build_scan.NAME}"} == contents(wheel).keys() | {
        f"eventbus/wire/{build_scan.NAME}"
    }
    environment = Environment(tmp_path)
    environment.install(made)
    environment.give_dependencies()
    assert environment.run("python", "-c", WHAT_READS, cwd=tmp_path).stdout == "Python\n"


def test_what_is_declared_to_users_is_the_librarys_alone(wheel: Path) -> None:
    found = contents(wheel)
    points = found[f"{INFO}/entry_points.txt"].decode().split("\n")
    assert [line for line in points if line] == [
        "[console_scripts]",
        "eventbus = eventbus.cli.__main__:main",
        "[pytest11]",
        "eventbus = eventbus.testing.plugin",
    ]
    metadata = Parser().parsestr(found[f"{INFO}/METADATA"].decode())
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    extras = set(metadata.get_all("Provides-Extra", []))
    assert not extras & {name.replace("_", "-") for name in groups}
    (table,) = re.findall(r"^\| extra \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)) == extras, "the README's table has each extra"


def test_the_archive_of_the_sources_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=3 * PATIENCE, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    assert contents(build(archive, tmp_path / "wheel")) == contents(wheel)


def test_a_user_keeps_packages_of_the_same_names(wheel: Path, users_wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.install(users_wheel)
    before = environment.files()
    assert any(path.endswith("site-packages/services/orders/__init__.py") for path in before)
    environment.install(wheel)
    after = environment.files()
    assert {path: after.get(path) for path in before} == before
    added = after.keys() - before.keys()
    assert len(added) > 100
    assert {path for path in added if not of_eventbus(path)} == set()
    environment.uninstall("eventbus")
    assert environment.files() == before


def test_the_readmes_first_program_runs_beside_a_users_services(wheel: Path, users_wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.install(wheel)
    environment.install(users_wheel)  # after it: neither order overwrites
    environment.give_dependencies()
    found = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", README, re.DOTALL)
    assert found is not None
    users = "from services.orders import OWNER\nfrom demo import OWNER as ALSO\nprint(OWNER, ALSO)\n"
    (tmp_path / "program.py").write_text(f"{found[1]}\n{users}")
    done = environment.run("python", "program.py", cwd=tmp_path)
    assert (done.stdout, done.stderr) == (f"{found[2]}the user, of services/orders the user, of demo\n", "")
    # without its extra the command says what to do
    done = environment.run("eventbus", "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "the command line needs its extra: pip install 'eventbus[cli]'\n")
    environment.uninstall("eventbus")
    assert environment.run("python", "-c", users, cwd=tmp_path).stdout == "the user, of services/orders the user, of demo\n"


EACH_COMMAND = """
import typer
from eventbus.cli.app import app
from typer.main import get_command

group = get_command(app)
for name in group.list_commands(None):
    print(f"{name}: {group.get_command(None, name).get_short_help_str(200)}")
"""


def test_the_command_shows_what_a_user_can_have(with_extras: Environment, tmp_path: Path) -> None:
    done = with_extras.run("eventbus", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    commands = done.stdout.partition("Commands")[2]
    assert re.findall(r"^│ (\w+) ", commands, re.MULTILINE) == list(COMMANDS)
    done = with_extras.run("python", "-c", EACH_COMMAND, cwd=tmp_path)
    assert [line.split(": ", 1)[0] for line in done.stdout.splitlines()] == list(COMMANDS), done.stderr
    assert "cannot be had" not in done.stdout
    # the ones whose extra is not among them
    assert re.findall(r"^(\w+): .*needs its extra", done.stdout, re.MULTILINE) == ["relay", "page", "journal", "outbox"]
    done = with_extras.run("eventbus", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"eventbus {eventbus.__version__}\n")
    done = with_extras.run("eventbus", "demo", cwd=tmp_path)
    assert (done.returncode, "No such command 'demo'" in done.stderr) == (2, True)


def test_an_extra_is_added_to_the_library_that_is_there(with_extras: Environment) -> None:
    """Messages say `pip install 'eventbus[fast]'`: pip must take the installed library and ask no registry for it."""
    with_extras.pip("install", "--no-index", "eventbus[fast]")


def test_the_pytest_plugin_works_in_a_users_environment(with_extras: Environment, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_mine(harness):\n    assert harness.published_types() == []\n")
    done = with_extras.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
