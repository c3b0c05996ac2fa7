"""Files of keys: what they may say, and the commands that make and read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventbus import Bus
from eventbus.doctor.environment import check_environment
from eventbus.engines.memory import MemoryEngine
from eventbus.errors import ConfigurationError
from eventbus.settings import BusSettings
from eventbus.signing import Signer, read_keys
from eventbus.wire.codec import decode
from eventbus.wire.sealed import read_seal
from tests.cli.running import run_command
from tests.signing.keys import SECRETS, SHOP, write_keys

SECRET = SECRETS["shop"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys = 3", "keys: Input should be a valid dictionary"),
        ("[keys", "no TOML"),
        ("", "keys: Field required"),
        ('[keys.a]\nsecret = "short"\nsources = ["a"]', "keys.a.secret: is no base64"),
        ('[keys.a]\nsecret = "AAAA"\nsources = ["a"]', "secret: 3 bytes; give 32 to 64 random ones"),
        (f'[keys.a]\nsecret = "{SECRET}"', "may speak for nobody"),
        (f'[keys.a]\nsecret = "{SECRET}"\nsources = ["a"]\nmore = 1', "keys.a.more: Extra inputs are not permitted"),
        (f'[keys.a]\nalgorithm = "ed25519"\nsecret = "{SECRET}"\nsources = ["a"]', "ed25519 has private or public"),
        (f'[keys.a]\nalgorithm = "none"\nsecret = "{SECRET}"\nsources = ["a"]', "keys.a.algorithm"),
        (f'[keys."a b"]\nsecret = "{SECRET}"\nsources = ["a"]', "ids have 1 to 64 letters"),
        (f'sign_with = "b"\n[keys.a]\nsecret = "{SECRET}"\nsources = ["a"]', "sign_with = 'b': no key of that id"),
        (f'[keys.a]\nsecret = "{SECRET}"\nsources = ["a"]\nnot_after = 2027-01-01T00:00:00', "no time zone"),
        (
            f'sign_with = "a"\n[keys.a]\nsecret = "{SECRET}"\nsources = ["a"]\nnot_after = 2020-01-01T00:00:00Z',
            "it counts no more since 2020",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_place_and_without_its_secrets(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_keys(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_bus_without_its_keys_does_not_start(tmp_path: Path) -> None:
    for settings, said in (
        (BusSettings(sign="require"), "EVENTBUS_SIGN=require needs keys"),
        (BusSettings(sign="write", keys_file=str(tmp_path / "nowhere.toml")), "No such file"),
        (BusSettings(sign="write", keys_file=str(write_keys(tmp_path, None, SHOP))), "needs sign_with"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            Bus("memory://", settings=settings)


@pytest.mark.parametrize("algorithm", ["blake2b", "hmac-sha256", "ed25519"])
def test_what_the_command_makes_signs_and_checks(tmp_path: Path, algorithm: str) -> None:
    made = run_command("keys", "new", "shop-2", "--source", "shop", "--algorithm", algorithm, folder=tmp_path)
    assert made.code == 0, made.err
    parts = made.out.split("# for all that check it")
    signs, checks = tmp_path / "signs.toml", tmp_path / "checks.toml"
    signs.write_text('sign_with = "shop-2"\n' + parts[0])
    checks.write_text(parts[-1])
    engine = MemoryEngine()
    clocks = {"time": engine.clock.time, "monotonic": engine.clock.monotonic}
    body = b"\x84\xabspecversion\xa31.0\xa2id\xa1x\xa6source\xa4shop\xa4type\xa6Placed"
    sealed = Signer(read_keys(signs), "require", **clocks).seal("placed", body)
    reader = Signer(read_keys(checks), "require", **clocks)
    assert reader.doubt("placed", decode(sealed)) is None
    assert read_seal(sealed).body == body
    shown = run_command("keys", "check", str(signs), folder=tmp_path)
    assert "* shop-2: " + algorithm in shown.out
    assert "signs with shop-2" in shown.out
    assert not any(len(word) > 40 for word in shown.out.split())  # no secret


def test_a_key_of_nobody_is_not_made(tmp_path: Path) -> None:
    assert "may speak for nobody" in run_command("keys", "new", "x", folder=tmp_path).err
    assert "ids have 1 to 64" in run_command("keys", "new", "a b", "--operator", folder=tmp_path).err


@pytest.mark.parametrize(
    ("mode", "said"), [("", "not signed"), ("write", "unsigned is believed"), ("require", "parked unread")]
)
def test_the_doctor_says_whose_word_is_believed(mode: str, said: str) -> None:
    variables = {"EVENTBUS_SIGN": mode} if mode else {}
    (found,) = [each for each in check_environment({"SIGN": None}, variables) if each.check == "signing"]
    assert said in found.text
