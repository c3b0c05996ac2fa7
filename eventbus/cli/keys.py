"""The commands `eventbus keys ...`."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Annotated, Literal

import typer

from eventbus.cli.options import AsJson
from eventbus.cli.session import reported, say, say_json
from eventbus.errors import ConfigurationError
from eventbus.signing import Key, read_keys
from eventbus.wire.sealed import KEY_ID

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make and look at the keys that sign events.")


@app.command("new")
def new_command(
    name: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, such as orders-2026.")],
    source: Annotated[
        list[str] | None, typer.Option(help="Service that it may speak for; several times for several.")
    ] = None,
    topic: Annotated[list[str] | None, typer.Option(help="Topic on which it may; all unless given.")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Channel whose receipts and copies it may sign.")] = None,
    operator: Annotated[bool, typer.Option("--operator", help="May replay for any channel.")] = False,
    algorithm: Annotated[Literal["blake2b", "hmac-sha256", "ed25519"], typer.Option(help="How it signs.")] = "blake2b",
) -> None:
    """Print a new key, as a part for the files of those who sign with it and those who check it.

    Example: eventbus keys new orders-2026 --source orders
    """
    with reported("keys new"):
        if KEY_ID.fullmatch(name) is None:
            raise ConfigurationError(f"key {name[:80]!r}: ids have 1 to 64 letters, digits, '.', '_', '-'")
        if not (source or channel or operator):
            raise ConfigurationError("it may speak for nobody; give --source, --channel or --operator")
        rights = [
            f"{word} = {_listed(given)}"
            for word, given in (("sources", source), ("topics", topic), ("channels", channel))
            if given
        ]
        if operator:
            rights.append("operator = true")
        if algorithm == "ed25519":
            private, public = _pair()
            say("# for the one program that signs with it")
            say("\n".join([f"[keys.{_quoted(name)}]", 'algorithm = "ed25519"', f'private = "{private}"', *rights]))
            say("\n# for all that check it")
            say("\n".join([f"[keys.{_quoted(name)}]", 'algorithm = "ed25519"', f'public = "{public}"', *rights]))
            return
        secret = base64.b64encode(secrets.token_bytes(32)).decode()
        say("\n".join([f"[keys.{_quoted(name)}]", f'algorithm = "{algorithm}"', f'secret = "{secret}"', *rights]))


@app.command("check")
def check_command(
    path: Annotated[Path, typer.Argument(metavar="FILE", envvar="EVENTBUS_KEYS_FILE", help="The file of keys.")],
    as_json: AsJson = False,
) -> None:
    """Read a file of keys and show what each may speak for; secrets are not shown. Exit code 2 when it is wrong.

    Example: eventbus keys check /run/secrets/eventbus-keys.toml
    """
    with reported("keys check"):
        keyring = read_keys(path)
        if as_json:
            say_json([_tree(name, key, signs=name == keyring.sign_with) for name, key in keyring.keys.items()])
            return
        for name, key in keyring.keys.items():
            names = (("sources", key.sources), ("topics", key.topics), ("channels", key.channels))
            rights = [f"{word} {', '.join(given)}" for word, given in names if given]
            rights += ["operator"] if key.operator else []
            until = "" if key.not_after is None else f", until {key.not_after.isoformat()}"
            say(f"{'*' if name == keyring.sign_with else ' '} {name}: {key.algorithm}; {'; '.join(rights)}{until}")
        say(f"signs with {keyring.sign_with}" if keyring.sign_with else "only checks")


def _tree(name: str, key: Key, *, signs: bool) -> dict[str, object]:
    rights = key.model_dump(mode="json", include={"algorithm", "sources", "topics", "channels", "operator", "not_after"})
    return {"id": name, "signs": signs, **rights}


def _listed(names: list[str]) -> str:
    return "[" + ", ".join(_quoted(name, always=True) for name in names) + "]"


def _quoted(name: str, *, always: bool = False) -> str:
    # TOML's bare keys have no dot (https://toml.io/en/v1.0.0#keys)
    if not always and "." not in name:
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _pair() -> tuple[str, str]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise ConfigurationError("ed25519 keys need the extra: pip install 'eventbus[signing]'") from None
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return base64.b64encode(private.private_bytes_raw()).decode(), base64.b64encode(public).decode()
