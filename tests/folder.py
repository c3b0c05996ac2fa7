"""Where tests write: into memory, if the machine has a file system there.

What they write is thrown away, and databases alone are hundreds. On a disk, to make one for PostgreSQL takes up to fifteen
times the processor time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
NEEDED = 4 << 30
"""Bytes; containers often have 64 MiB there, which is too little."""


def write_into_memory() -> None:
    """Let this process and those that it starts make their temporary files in memory, unless TMPDIR says where."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    runs_no_program = os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if not runs_no_program and shutil.disk_usage(MEMORY).free >= NEEDED:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # read again
