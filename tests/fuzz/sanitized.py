"""The same bodies at an extension that watches its own memory: `python -m tests.fuzz.sanitized --bodies 100000`.

Built with gcc's AddressSanitizer and UndefinedBehaviorSanitizer, which end the process at the first byte that is read or
written beyond what it belongs to, and at the first undefined step. Their libraries must be loaded before Python is.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from eventbus.wire import codec
from tests.fuzz import scan
from tools.build_scan import build

_FOLDER = Path(codec.__file__).parent
_BINARY = "SANITIZED_SCAN"
_OPTIONS = ["-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def load(binary: str) -> None:
    """Let `decode` read by this binary."""
    spec = importlib.util.spec_from_file_location("_scan", binary)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    codec.scan = module.scan


def main() -> None:
    binary = os.environ.get(_BINARY)
    if binary is not None:
        load(binary)
        scan.main()
        return
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "_scan.abi3.so")
        reason = build(_FOLDER, target, watched=_OPTIONS)
        if reason is not None:
            sys.exit(f"it could not be built: {reason}")
        library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
        watching = {
            _BINARY: str(target),
            "LD_PRELOAD": library.stdout.strip(),
            "PYTHONMALLOC": "malloc",  # or the sanitizer sees Python's arenas and not what lies in them
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        }
        command = [sys.executable, "-m", "tests.fuzz.sanitized", *sys.argv[1:]]
        sys.exit(subprocess.run(command, env={**os.environ, **watching}, check=False).returncode)


if __name__ == "__main__":
    main()
