"""Writes docs/commands/: one page for each command, made from its help. `python tools/command_pages.py [--check]`."""

from gevent import monkey

monkey.patch_all()

import re  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import typer  # noqa: E402
from typer.cli import get_docs_for_click  # noqa: E402
from typer.main import get_command  # noqa: E402

from eventbus.cli.app import app  # noqa: E402

FOLDER = Path(__file__).parent.parent / "docs" / "commands"


def pages() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    root = get_command(app)
    context = typer.Context(root, info_name="eventbus")
    made: dict[str, str] = {}
    lines = ["# The commands", "", *_clean(root.help or "").splitlines(), "", "| | |", "|---|---|"]
    for name in root.list_commands(context):  # type: ignore[attr-defined]
        command = root.get_command(context, name)  # type: ignore[attr-defined]
        text = get_docs_for_click(obj=command, ctx=typer.Context(command, parent=context), call_prefix="eventbus")
        made[f"{name}.md"] = _clean(text)
        lines.append(f"| [{name}]({name}.md) | {command.get_short_help_str(limit=200)} |")
    made["README.md"] = "\n".join(lines) + "\n"
    return made


def _clean(text: str) -> str:
    """Set examples as code, and leave the terminal's form feeds, links and escapes out."""
    text = text.replace("\f", "").replace("\\[", "[")  # a bracket is escaped where rich would take it for markup
    text = re.sub(r"^ *Example: (.+)$", r"```console\n$ \1\n```", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def main() -> None:
    wrong = []
    made = pages()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.md"):
        if path.name not in made:
            wrong.append(path.name)
            if "--check" not in sys.argv:
                path.unlink()
    for name, text in made.items():
        path = FOLDER / name
        if not path.exists() or path.read_text() != text:
            wrong.append(name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if wrong and "--check" in sys.argv:
        sys.exit(f"docs/commands is not as the help says: {', '.join(wrong)}; mend it with: make commands")


if __name__ == "__main__":
    main()
