"""The soak's ledger can fail: each thing that must not be is planted, and found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from eventbus.sql import Database, metadata
from tests.soak.faults import FAULTS
from tests.soak.ledger import Books
from tests.soak.tables import accepted, content_of, effects, tables

KEY, OTHER = "a" * 32, "b" * 32
WHOLE = [("fulfillment", KEY, "ship"), ("billing", KEY, "order"), ("billing", KEY, "bill")]


class World:
    """Three databases with one order that is done, and what a test plants beside it."""

    def __init__(self, new_database: Callable[..., Database], folder: Path) -> None:
        made = {name: new_database(metadata, tables) for name in ("orders", "fulfillment", "billing")}
        self.databases = made
        self.folder = folder
        self.books = Books(made["orders"], made["fulfillment"], made["billing"], folder)

    def order(self, key: str) -> None:
        self.databases["orders"].transact(lambda connection: connection.execute(sa.insert(accepted).values(key=key)))

    def effect(self, where: str, key: str, who: str, content: str = "") -> None:
        row = {"key": key, "who": who, "content": content or content_of(key)}
        self.databases[where].transact(lambda connection: connection.execute(sa.insert(effects).values(**row)))

    def told(self, text: str) -> None:
        (self.folder / "orders-1.ledger").write_text(text)


@pytest.fixture
def world(new_database: Callable[..., Database], tmp_path: Path) -> World:
    made = World(new_database, tmp_path)
    made.order(KEY)
    made.told(f"try {KEY}\ndone {KEY}\n")
    return made


def test_what_is_whole_balances(world: World) -> None:
    for where in WHOLE:
        world.effect(*where)
    found = world.books.close(letters=0, letters_lost=0)
    assert found.is_balanced
    assert (found.orders, found.acknowledged, found.unsure, found.effects) == (1, 1, 0, 3)


@pytest.mark.parametrize("missing", range(3))
def test_an_effect_that_is_missing_is_found(world: World, missing: int) -> None:
    for position, where in enumerate(WHOLE):
        if position != missing:
            world.effect(*where)
    found = world.books.close(letters=0, letters_lost=0)
    assert (found.lost, found.is_balanced) == (1, False)
    assert found.which == [f"{WHOLE[missing][2]} of {KEY}"]


def test_what_must_not_be_is_found(world: World) -> None:
    for where in WHOLE:
        world.effect(*where)
    world.effect("billing", KEY, "bill", content="other")
    world.effect("billing", OTHER, "order")
    world.told(f"try {KEY}\ndone {KEY}\nundo {OTHER}\ntry {'c' * 32}\ndone {'c' * 32}\ntry {'d' * 32}\ndone {'e' * 9}")
    found = world.books.close(letters=3, letters_lost=1)
    assert not found.is_balanced
    assert (found.doubled, found.altered, found.phantom, found.undone_seen) == (1, 1, 1, 1)
    assert (found.forgotten, found.unsure, found.letters_lost, found.lost) == (1, 1, 1, 0)


def test_each_kind_of_fault_is_named_by_its_number() -> None:
    kinds = {int(name.split()[0][1:]) for name in FAULTS}
    elsewhere = {12, 15}  # messages that are too long, mail servers: tests/conformance and tests/services
    assert kinds | elsewhere == set(range(1, 26))
