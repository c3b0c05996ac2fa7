"""Hooks of MkDocs: what the site has beside the pages of docs/.

- `api/`: a page for each part that users write against, from its docstrings.
- `files/`: the files of the repository that pages link to, so that no link leads out of the site.
- the navigation, from what is there; `llms.txt`, `llms-full.txt` and the Markdown of each page beside its HTML.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
API = {
    "Events, services, buses": "eventbus",
    "Outbox and inbox": "eventbus.sql",
    "Django": "eventbus.django",
    "Django's tests": "eventbus.django.testing",
    "Errors": "eventbus.errors",
    "Middleware": "eventbus.middleware",
    "Settings": "eventbus.settings",
    "Testing": "eventbus.testing",
    "Testing: contracts": "eventbus.testing.contracts",
    "Testing: databases": "eventbus.testing.databases",
    "Contracts": "eventbus.contracts",
    "Metrics, health, logs, tracing": "eventbus.observe",
    "Signing": "eventbus.signing",
    "Memory engine": "eventbus.engines.memory",
    "NSQ engine": "eventbus.engines.nsq",
}
"""Title and module of each page of the API."""

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)(#[^)]*)?\)")
_LANGUAGES = {".py": "python", ".toml": "toml", ".sh": "sh", ".yml": "yaml", ".yaml": "yaml", ".json": "json"}
_LARGEST = 200_000

_linked: set[str] = set()
_texts: dict[str, tuple[str, str]] = {}
"""Title and Markdown of each page, by its path."""


def on_config(config: Any) -> Any:
    """Say what is where."""
    config.nav = [
        {"Start": ["index.md", "tutorial.md", {"Tasks": _pages("tasks")}]},
        {"Guides": _pages("guides")},
        {"Commands": _pages("commands")},
        {"API": [{title: f"api/{module}.md"} for title, module in API.items()]},
        {"How it works": ["architecture.md", "guarantees.md", "wire-format.md", "nsq.md", "benchmarks.md"]},
        {"Decisions": _pages("decisions")},
    ]
    return config


def _pages(folder: str) -> list[str]:
    found = sorted(path.name for path in (ROOT / "docs" / folder).glob("*.md"))
    return [f"{folder}/{name}" for name in sorted(found, key=lambda name: (name != "README.md", name))]


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the API, and those of files that pages link to."""
    for title, module in API.items():
        files.append(File.generated(config, f"api/{module}.md", content=_api(title, module)))
    for page in [each for each in files if each.src_uri.endswith(".md") and each.abs_src_path]:
        for _, target, _ in _LINK.findall(Path(str(page.abs_src_path)).read_text()):
            outside = _outside(page.src_uri, target)
            if outside is not None:
                _linked.add(outside)
    for path in sorted(_linked):
        files.append(File.generated(config, f"files/{path.rstrip('/') or 'root'}.md", content=_shown(path)))
    return files


def _api(title: str, module: str) -> str:
    place = ROOT / module.replace(".", "/")
    init = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    listed = re.search(r"__all__ = \[(.*?)\]", init.read_text(), re.DOTALL)
    names = re.findall(r'"(\w+)"', listed[1]) if listed else []
    members = "".join(f"\n        - {name}" for name in names if not name.startswith("__"))
    options = f"    options:\n      members:{members}\n" if members else ""
    hidden = [name for name in names if (place / f"{name}.py").exists()]  # by the module of the same name
    more = "".join(f"\n::: {module}.{name}.{name}\n" for name in hidden)
    return f"# {title}\n\n::: {module}\n{options}{more}"


def _outside(page: str, target: str) -> str | None:
    """Return the path in the repository that a link leads to, where that is not in docs/."""
    if "://" in target or target.startswith(("mailto:", "/")):
        return None
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    return None if path.startswith("docs/") or not (ROOT / path).exists() else path


def _shown(path: str) -> str:
    place = ROOT / path
    if place.is_dir():
        names = sorted(
            f"{each.name}/" if each.is_dir() else each.name for each in place.iterdir() if each.name[0] not in "._"
        )
        return f"# {path}\n\n" + "".join(f"- `{name}`\n" for name in names)
    text = place.read_text(errors="replace")
    if place.suffix == ".md":
        return _LINK.sub(lambda found: found[1], text)
    fence = "`" * max(3, *(len(ticks) + 1 for ticks in [*re.findall(r"`{3,}", text), "``"]))
    return f"# {path}\n\n{fence}{_LANGUAGES.get(place.suffix, '')}\n{text[:_LARGEST]}\n{fence}\n"


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Let links into the repository lead to the pages of its files."""
    here = page.file.src_uri

    def lead(found: re.Match[str]) -> str:
        outside = _outside(here, found[2])
        if outside is None or here.startswith("files/"):
            return found[0]
        target = posixpath.relpath(f"files/{outside}.md", posixpath.dirname(here) or ".")
        return f"[{found[1]}]({target})"

    text = _LINK.sub(lead, markdown)
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    _texts[here] = (title[1].strip("`") if title else here, text)
    return text


def on_post_build(config: Any) -> None:
    """Write what programs read: each page's Markdown, a list of them, and all of them as one."""
    site = Path(config.site_dir)
    listed: list[str] = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    whole: list[str] = []
    for heading, folder in (
        ("Start", ""),
        ("Tasks", "tasks/"),
        ("Guides", "guides/"),
        ("Commands", "commands/"),
        ("Decisions", "decisions/"),
    ):
        listed += [f"## {heading}", ""]
        for path, (title, text) in sorted(_texts.items()):
            if posixpath.dirname(path) == folder.rstrip("/"):
                (site / path).write_text(text)
                listed.append(f"- [{title}]({path})")
                whole.append(f"<!-- {path} -->\n\n{text.strip()}\n")
        listed.append("")
    (site / "llms.txt").write_text("\n".join(listed))
    (site / "llms-full.txt").write_text("\n".join(whole))
