from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_pages_of_the_commands_are_as_their_help_says() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")}
    done = subprocess.run(
        [sys.executable, "tools/command_pages.py", "--check"], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
