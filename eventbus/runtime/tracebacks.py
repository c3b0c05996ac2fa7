"""Tracebacks: where an exception came from, by file, line and function, and never with a value.

Frames hold no data of events, so they may be logged and kept; the texts of exceptions and local variables may not.
"""

from __future__ import annotations

import os
import site
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = str(Path(__file__).parent.parent) + os.sep
_paths = sysconfig.get_paths()
_INSTALLED = tuple({_paths["purelib"], _paths["platlib"], *site.getsitepackages()})
_STANDARD = tuple({_paths["stdlib"], _paths["platstdlib"]})
_MOST = 50
"""Frames of one exception that are shown: the outermost and innermost halves of a runaway recursion say it all."""


def innermost_frame(error: BaseException) -> str | None:
    """Return the innermost frame of the user's own code as `mailer.py:88 in send`.

    Where there is none, that of an installed library, else of the standard library, and never one of this package.
    """
    found: dict[int, str] = {}
    for frame in _frames(error):
        name = frame.filename
        if not name.startswith((_PACKAGE, "<")):
            rank = 1 if name.startswith(_INSTALLED) else 0 if name.startswith(_STANDARD) else 2
            found[rank] = f"{Path(name).name}:{frame.lineno} in {frame.name}"
    return found[max(found)] if found else None


def stack_of(error: BaseException) -> str:
    """Return the frames of `error` and of what caused it, a line each, the innermost last."""
    lines: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        lines.append(f"{type(link).__name__} from" if len(seen) == 1 else f"caused by {type(link).__name__} from")
        frames = [f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}' for frame in _frames(link)]
        if len(frames) > _MOST:
            cut = len(frames) - _MOST
            frames[_MOST // 2 : -_MOST // 2] = [f"  ... {cut} more frames ..."]
        lines.extend(frames)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\n".join(lines)


def _frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """Yield the frames, without looking up a line of source."""
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        yield traceback.FrameSummary(code.co_filename, line, code.co_name, lookup_line=False)
