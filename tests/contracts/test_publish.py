"""Publishing: deterministic, once for each version, with bytes that are kept; and every way in which a file can be wrong."""

from __future__ import annotations

import json
import threading
import warnings
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Generic, TypeVar

import jsonschema
import pytest
from pydantic import Field
from typing_extensions import deprecated

from eventbus import ContractError, Event, Value
from eventbus.contracts import check_golden, contract_of, load_contracts, publish, read_contract, retire
from eventbus.contracts.publish import Published

T = TypeVar("T")


class Placed(Event, topic="placed", version=1):
    """An order was placed."""

    number: int = Field(ge=1, description="counts from 1")
    note: str | None = None


class PlacedWithOtherWords(Event, topic="placed", version=1, name="Placed"):
    """An order was accepted."""

    number: int = Field(ge=1, description="the first is 1")
    note: str | None = None


class PlacedNarrower(Event, topic="placed", version=1, name="Placed"):
    number: int = Field(ge=5)
    note: str | None = None


class Placed2(Event, topic="placed", version=2, name="Placed"):
    number: int = Field(ge=1)
    note: str | None = None
    colour: str = "grey"


with warnings.catch_warnings():
    warnings.simplefilter("ignore")

    @deprecated("use Placed2")
    class Old(Event, topic="old", version=1):
        number: int


class Pair(Value, Generic[T]):
    first: T
    second: T


class Generics(Event, topic="generics", version=1):
    numbers: Pair[int]
    texts: Pair[str]


def put(folder: Path, *events: type[Event], **options: Any) -> Published:
    return publish([(event, "shop") for event in events], folder / "contracts", golden=folder / "golden", **options)


def test_the_same_class_gives_the_same_bytes(tmp_path: Path) -> None:
    first = put(tmp_path, Placed)
    path = tmp_path / "contracts" / "placed" / "Placed.v1.json"
    before = path.read_bytes()
    again = put(tmp_path, Placed)
    assert path.read_bytes() == before
    assert len(first.written) == 3, "the contract, and its bytes in both codecs"
    assert (again.written, again.kept) == ((), ("placed/Placed.v1.json",))
    document = json.loads(before)
    assert document["x-eventbus"] == {
        "owner": "shop",
        "topic": "placed",
        "type": "Placed",
        "version": 1,
        "deprecated": False,
        "retired": None,
    }
    assert document["description"] == "An order was placed."
    jsonschema.Draft202012Validator.check_schema(document)
    for example in document["examples"]:
        jsonschema.validate(example, document)
        Placed(**example)


def test_a_deprecated_class_is_marked() -> None:
    contract = contract_of(Old, "shop")
    assert contract.is_deprecated
    assert '"deprecated": true' in contract.to_json()
    assert not contract_of(Placed, "shop").is_deprecated


def test_a_published_version_never_changes(tmp_path: Path) -> None:
    put(tmp_path, Placed)
    done = put(tmp_path, PlacedNarrower)
    (refusal,) = done.refused
    assert "Placed v1 is published and its class has changed: field `number`" in refusal
    assert "version=2" in refusal
    assert load_contracts(tmp_path / "contracts")[0].schema["properties"]["number"]["minimum"] == 1


def test_words_may_be_mended_and_bytes_are_kept(tmp_path: Path) -> None:
    put(tmp_path, Placed)
    kept = (tmp_path / "golden" / "placed" / "Placed.v1.msgpack").read_bytes()
    done = put(tmp_path, PlacedWithOtherWords)
    assert done.written == ("placed/Placed.v1.json",)
    assert load_contracts(tmp_path / "contracts")[0].schema["description"] == "An order was accepted."
    assert (tmp_path / "golden" / "placed" / "Placed.v1.msgpack").read_bytes() == kept


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    done = put(tmp_path, Placed, is_check=True)
    assert done.written
    assert list(tmp_path.iterdir()) == []


def test_kept_bytes_are_read_by_today_s_classes(tmp_path: Path) -> None:
    put(tmp_path, Placed, Placed2)
    there = load_contracts(tmp_path / "contracts")
    assert check_golden(tmp_path / "golden", there, [Placed, Placed2], []) == []
    found = check_golden(tmp_path / "golden", there, [PlacedNarrower], [])
    assert "the owner's PlacedNarrower cannot read Placed v1 any more" in found[0]
    (tmp_path / "golden" / "placed" / "Placed.v1.json").write_bytes(b"garbage")
    (tmp_path / "golden" / "placed" / "Placed.v2.msgpack").unlink()
    said = "\n".join(check_golden(tmp_path / "golden", there, [], []))
    assert "does not decode any more" in said
    assert "golden bytes are missing" in said


def test_a_version_is_retired_once_and_with_a_reason(tmp_path: Path) -> None:
    put(tmp_path, Placed)
    folder = tmp_path / "contracts"
    with pytest.raises(ContractError, match="give the reason"):
        retire(folder, "placed", "Placed", 1, " ")
    retire(folder, "placed", "Placed", 1, "nobody sends it")
    (contract,) = load_contracts(folder)
    assert contract.retired is not None
    assert contract.retired.reason == "nobody sends it"
    with pytest.raises(ContractError, match="is retired since"):
        retire(folder, "placed", "Placed", 1, "again")
    with pytest.raises(ContractError, match="there is no"):
        retire(folder, "placed", "Placed", 9, "what")
    assert "was retired" in put(tmp_path, Placed).refused[0]


def test_generic_models_are_described(tmp_path: Path) -> None:
    contract = contract_of(Generics, "shop")
    assert {"numbers", "texts"} == set(contract.schema["properties"])
    jsonschema.validate(contract.examples[0], {**contract.schema})


def test_a_class_without_example_says_what_to_do() -> None:
    class Odd(Event, topic="odd", version=1):
        code: str = Field(pattern="^a{3}$", max_length=2)  # nothing matches

    with pytest.raises(ContractError, match="examples="):
        contract_of(Odd, "shop")


GOOD = contract_of(Placed, "shop").to_json()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        (GOOD.replace("2020-12", "2019-09"), "contracts are written in"),
        (GOOD.replace('"x-eventbus"', '"x-other"'), "x-eventbus is missing"),
        (GOOD.replace('"owner": "shop",', ""), "x-eventbus.owner is missing"),
        (GOOD.replace('"version": 1', '"version": "one"'), "version is 'one'"),
        (GOOD.replace('"topic": "placed"', '"topic": "no topic!"'), "only letters"),
        (GOOD.replace('"type": "integer"', '"$ref": "#/$defs/Gone"'), "leads nowhere"),
        (json.dumps({**json.loads(GOOD), "examples": []}), "examples are missing"),
    ],
)
def test_a_file_that_is_no_contract_is_named(text: str, said: str) -> None:
    with pytest.raises(ContractError, match=said) as caught:
        read_contract(text, "folder/placed/Placed.v1.json")
    assert str(caught.value).startswith("folder/placed/Placed.v1.json: ")


def test_a_file_in_the_wrong_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "Placed.v1.json").write_text(GOOD)
    with pytest.raises(ContractError, match="move the file there"):
        load_contracts(tmp_path)
    with pytest.raises(ContractError, match="no such folder"):
        load_contracts(tmp_path / "nowhere")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "contracts")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_contracts_come_from_a_wheel_and_from_an_address(tmp_path: Path, address: str) -> None:
    put(tmp_path, Placed, Placed2)
    folder = load_contracts(tmp_path / "contracts")
    wheel = tmp_path / "shop-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for contract in folder:
            archive.write(tmp_path / "contracts" / contract.path, f"shop/contracts/{contract.path}")
        archive.writestr("shop/other.json", "{}")
    (tmp_path / "contracts" / "index.json").write_text(json.dumps([contract.path for contract in folder]))
    for source in (wheel, address, address.rstrip("/")):
        assert [each.name for each in load_contracts(source)] == ["Placed v1", "Placed v2"]


def test_an_address_that_fails_is_named(tmp_path: Path, address: str) -> None:
    (tmp_path / "contracts").mkdir()
    index = tmp_path / "contracts" / "index.json"
    with pytest.raises(ContractError, match="index.json: answers 404"):
        load_contracts(address)
    for text, said in (
        ("{", "no JSON"),
        ('{"a": 1}', "give a JSON array"),
        ('["../secret.json"]', "leads outside"),
        ('["placed/Placed.v1.json"]', "answers 404"),
    ):
        index.write_text(text)
        with pytest.raises(ContractError, match=said):
            load_contracts(address)
    with pytest.raises(ContractError, match="cannot be reached"):
        load_contracts("http://127.0.0.1:9/")
    with pytest.raises(ContractError, match="use https"):
        load_contracts("http://contracts.example/")
    with pytest.raises(ContractError, match="no wheel"):
        load_contracts(tmp_path / "missing.whl")
