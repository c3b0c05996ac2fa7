"""An engine of others: its distribution beside the wheel, and the published suite run on it, as a user would."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.waiting import PATIENCE
from tests.wheel.environment import Environment, build

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "engine"


def test_the_example_engine_passes_the_suite_in_a_users_environment(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.install(build(ROOT, tmp_path / "library"))
    environment.give_dependencies("testing")
    project = shutil.copytree(EXAMPLE, tmp_path / "project")
    environment.install(build(project, tmp_path / "engine"))
    (tmp_path / "outside").mkdir()
    test = shutil.copy(EXAMPLE / "test_tiny_engine.py", tmp_path / "outside")
    options = ("-q", "-p", "no:cacheprovider", "--strict-markers", "-W", "error")
    done = environment.run("python", "-m", "pytest", *options, test, cwd=tmp_path / "outside", timeout=3 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.search(r"(\d+) passed, (\d+) skipped", done.stdout)
    assert counts is not None, done.stdout
    assert int(counts[1]) >= 80 and int(counts[2]) <= 7, "a promise was not asked"


def test_a_broken_engine_fails_the_suite(tmp_path: Path) -> None:
    """The suite sees what it is for: an engine that forgets what is given back loses events."""
    environment = Environment(tmp_path)
    environment.install(build(ROOT, tmp_path / "library"))
    environment.give_dependencies("testing")
    project = shutil.copytree(EXAMPLE, tmp_path / "project")
    module = project / "tiny_engine.py"
    whole = module.read_text()
    broken = whole.replace("if self.finish():", "if self.finish() and delay < 0:")
    assert broken != whole
    module.write_text(broken)
    environment.install(build(project, tmp_path / "engine"))
    test = shutil.copy(EXAMPLE / "test_tiny_engine.py", tmp_path)
    chosen = ("-k", "failed_delivery_comes_again or handled_once")
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, test)
    done = environment.run("python", *command, cwd=tmp_path, EVENTBUS_PATIENCE="10")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout, done.stdout
