"""Runs a page of the docs as a reader would: files are written as its blocks say, and commands are typed one by one.

A block with a title is a file, or what is added at its end. A block `console` has commands after `$`, and below each what it
prints; `...` stands for anything. What serves or listens goes on in the background until the page ends, as in a terminal of
its own. Only the ports are others, and the `pip install` line is the test's to keep.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.nsqd import HOST, free_port, program
from tests.waiting import PATIENCE, eventually

_BLOCK = re.compile(r'^( *)```(\w*)(?: title="([^"]*)")?\n(.*?)^\1```$', re.DOTALL | re.MULTILINE)
_SERVES = re.compile(
    r"nsqlookupd |nsqd |eventbus (run|relay) (?!.*--burst)|python -m (uvicorn|gunicorn) |python manage\.py eventbus_relay"
)
_INSTALLS = re.compile(r"python -m venv|\. \.venv|pip install")
_PORTS = ("4150", "4151", "4160", "4161", "8001", "8002", "9101")
_AT_THE_END = " (at the end)"


@dataclass(frozen=True)
class Block:
    language: str
    title: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of code of a page."""
    return [
        Block(language, title, "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True)))
        for indent, language, title, text in _BLOCK.findall(page.read_text())
    ]


def commands_of(block: Block) -> list[tuple[str, str]]:
    """Return the commands of a block, each with what it prints."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].strip(), ""))
        else:
            command, printed = found.pop()
            found.append((command, printed + line))
    return found


def installed_by(page: Path) -> tuple[list[str], list[str]]:
    """Return the extras of eventbus and the other packages that a page has its reader install."""
    for block in blocks_of(page):
        for command, _ in commands_of(block) if block.language == "console" else []:
            if command.startswith("pip install"):
                words = shlex.split(command)[2:]
                (own,) = [word for word in words if word.startswith("eventbus[")]
                return own[len("eventbus[") : -1].split(","), [word for word in words if word != own]
    return [], []


class Reader:
    """Follows a page in a folder.

    Args:
        folder: empty, and the reader's own.
        path: folders of programs, which come before all others.
        variables: of the environment.
    """

    def __init__(self, folder: Path, *path: Path, **variables: str) -> None:
        self._here = folder
        ports = {port: str(free_port()) for port in _PORTS}
        self._numbers = re.compile("|".join(ports))
        self._ports = ports
        mine = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "EVENTBUS_", "PYTEST", "COV"))
        }
        places = [*map(str, path), str(Path(program("nsqd")).parent)]
        self._environment = {
            **mine,
            "PATH": os.pathsep.join([*places, os.environ["PATH"]]),
            "NO_COLOR": "1",
            "COLUMNS": "120",
            **variables,
        }
        self._running: list[subprocess.Popen[bytes]] = []
        self.log = folder.parent / f"{folder.name}.log"

    def follow(self, page: Path) -> None:
        """Do what the page says; fail where something else comes of it."""
        for block in blocks_of(page):
            if block.language == "console":
                for command, printed in commands_of(block):
                    self.type(self._with_ports(command), self._with_ports(printed))
            elif block.title:
                self.write(block.title, self._with_ports(block.text))

    def _with_ports(self, text: str) -> str:
        return self._numbers.sub(lambda found: self._ports[found[0]], text)

    def write(self, title: str, text: str) -> None:
        """Write a file."""
        path = self._here / title.removesuffix(_AT_THE_END)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if title.endswith(_AT_THE_END) else "w") as file:
            file.write(text)

    def type(self, command: str, printed: str = "") -> None:
        """Type a command; what serves goes on in the background, of the rest the output is compared."""
        if _INSTALLS.match(command):
            return
        if command.startswith("cd "):
            self._here = (self._here / command[3:]).resolve()
        elif _SERVES.match(command):
            with self.log.open("ab") as log:
                self._running.append(
                    subprocess.Popen(
                        ["sh", "-c", f"exec {command}"],
                        cwd=self._here,
                        env=self._environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
            self._wait_for_its_ports(command)
        else:
            self._expect(command, printed)

    def _wait_for_its_ports(self, command: str) -> None:
        """Go on when a program answers, as a reader does, who sees it."""
        for port in [port for port in self._ports.values() if re.search(rf"\b{port}\b", command)]:

            def answers(port: str = port) -> bool:
                with socket.socket() as probe:
                    return probe.connect_ex((HOST, int(port))) == 0

            eventually(answers, f"an answer at {port} of {command}")

    def _expect(self, command: str, printed: str) -> None:
        """Type a command until it ends well and prints what it should: what serves may need a moment."""
        wanted = re.compile(r"\s+".join(map(_pattern, printed.split())), re.DOTALL)
        last: list[str] = []

        def says() -> bool:
            done = subprocess.run(
                ["sh", "-c", command], cwd=self._here, env=self._environment, capture_output=True, text=True, check=False
            )
            last[:] = [f"{command}\n{done.returncode}\n{done.stdout}{done.stderr}"]
            return done.returncode == 0 and wanted.fullmatch(" ".join(done.stdout.split())) is not None

        try:
            eventually(says, command, timeout=PATIENCE)
        except AssertionError as error:
            log = self.log.read_text(errors="replace") if self.log.exists() else ""
            raise AssertionError(f"{error}\nexpected:\n{printed}\nlast:\n{last[0]}\nmeanwhile:\n{log}") from None

    def end(self) -> None:
        """End what runs."""
        for each in self._running:
            with suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGKILL)
            each.wait()


def _pattern(word: str) -> str:
    return re.escape(word).replace(re.escape("..."), ".*")
