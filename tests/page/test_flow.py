"""What the page makes of counts and outcomes, without a browser."""

from __future__ import annotations

from typing import Any

from eventbus.engines.base import ChannelStats, TopicStats
from eventbus.outcomes import Batch
from eventbus.page.activity import activity_of
from eventbus.page.flow import flow_of
from eventbus.page.journey import journey_of
from eventbus.page.rates import NONE, rates_between
from eventbus.page.recent import Recent
from tests.outcomes.records import record


def channel(**counts: Any) -> ChannelStats:
    return ChannelStats(**{"depth": 0, "in_flight": 0, "deferred": 0, "subscribers": 1, "is_paused": False, **counts})


def topic(*channels: tuple[str, ChannelStats], **counts: Any) -> TopicStats:
    return TopicStats(**{"depth": 0, "channels": dict(channels), "is_paused": False, **counts})


def test_rates_are_changes_by_time_and_never_backwards() -> None:
    before = {"a": topic(("x", channel(messages=10, depth=4, requeued=1)), messages=10)}
    after = {"a": topic(("x", channel(messages=30, depth=2, requeued=2)), messages=30), "new": topic(messages=5)}
    rates = rates_between(before, after, 2.0)
    assert rates.published == {"a": 10.0} and rates.handled == {("a", "x"): 11.0} and rates.requeued == {("a", "x"): 0.5}
    assert rates_between(after, before, 1.0).published == {"a": 0.0}, "a broker that began anew"


def test_dead_letters_belong_to_their_channel_and_orphans_are_told() -> None:
    parked = topic(("parked", channel(depth=2, in_flight=1)), depth=0)
    stats = {"a": topic(("x", channel())), "a.x.dead": parked, "gone.y.dead": parked, "a.x.done": topic()}
    flow = flow_of(stats, NONE)
    assert [each["name"] for each in flow["topics"] if not each["internal"]] == ["a"]
    assert flow["topics"][0]["channels"][0]["dead"] == 3
    assert flow["orphans"] == [{"name": "gone.y.dead", "dead": 3}]
    assert flow["problems"] == ["a/x: 3 dead letters", "gone.y.dead: 3 dead letters, and its channel is gone"]


def test_states_are_told_in_words() -> None:
    stats = {
        "a": topic(
            ("paused", channel(is_paused=True)),
            ("alone", channel(subscribers=0, depth=7)),
            ("retrying", channel(requeued=5, messages=5)),
            ("well", channel()),
        ),
        "b": topic(depth=3, is_paused=True),
    }
    rates = rates_between({"a": topic(("retrying", channel(requeued=4, messages=5)))}, stats, 1.0)
    found = {each["name"]: each["state"] for each in flow_of(stats, rates)["topics"][0]["channels"]}
    assert found == {"paused": "paused", "alone": "nobody listens", "retrying": "retrying", "well": "ok"}
    assert flow_of(stats, rates)["problems"] == [
        "a/alone: 7 wait and nobody listens",
        "a/paused paused",
        "b is paused",
        "b: 3 wait and no channel is bound",
    ]


def test_names_that_are_longer_than_ours_are_shown_too() -> None:
    long = "n" * 60
    assert flow_of({long: topic((long, channel()))}, NONE)["topics"][0]["channels"][0]["dead"] == 0


def test_who_publishes_and_who_works_comes_from_outcomes() -> None:
    given = [
        record(id=f"{number}", topic="t", channel=name, source="shop", outcome="handled", error=None, begin=1.0, end=1.5)
        for number in range(10)
        for name in ("x", "y")
    ]
    activity = activity_of(given, 5.0, [("quiet", "other")])
    assert activity.publishers == {"t": {"shop": 2.0}, "quiet": {"other": 0.0}}, (
        "each event counts once, however many read it"
    )
    assert round(activity.work["t", "x"].running, 6) == 1.0
    assert activity_of([record(topic="t", channel="x", outcome="retried")], 5.0).waits == {("t", "x"): "SMTPServerBusy"}


CHAIN = "chain-0001"


def story(**changes: Any) -> Any:
    usual = {"correlation": CHAIN, "subject": "order-5f51", "again": None, "error": None, "place": None}
    return record(**{**usual, **changes})


def orders() -> list[Any]:
    """An order whose second mail fails."""
    placed: dict[str, Any] = {
        "id": "placed",
        "type": "OrderPlaced",
        "topic": "orders_placed",
        "source": "orders",
        "cause": None,
        "published": 100.0,
    }
    mail: dict[str, Any] = {
        "id": "mail",
        "type": "MailPrepared",
        "topic": "email",
        "source": "confirm",
        "cause": "placed",
        "published": 101.0,
    }
    busy = {"error": "SMTPServerBusy", "place": "mailer.py:88 in send", "channel": "default", "instance": "mail-1"}
    return [
        story(**placed, outcome="added", channel="", attempt=0, begin=100.0, end=100.0),
        story(**placed, outcome="published", channel="", attempt=0, begin=100.2, end=100.2),
        story(**placed, outcome="handled", channel="confirm", attempt=1, begin=100.5, end=101.0),
        story(**placed, outcome="settled", channel="", attempt=0, begin=101.2, end=101.2),
        story(**mail, **busy, outcome="retried", attempt=1, begin=101.5, end=102.0, again=104.0),
        story(**mail, **busy, outcome="retried", attempt=2, begin=104.0, end=104.5, again=110.0),
    ]


def test_a_journey_tells_queue_runs_retries_outbox_and_receipts_apart() -> None:
    found = journey_of(orders(), now=106.0)
    assert found is not None
    lanes = {(lane["place"], lane["what"]): lane for lane in found["lanes"]}
    spans = {place: [(s["kind"], s["begin"], s["end"]) for s in lane["spans"]] for place, lane in lanes.items()}
    assert spans["orders_placed", "outbox"] == [("outbox", 100.0, 100.2), ("receipts", 100.2, 101.2)]
    assert spans["orders_placed/confirm", "handler"] == [("queue", 100.2, 100.5), ("run", 100.5, 101.0)]
    assert [kind for kind, _, _ in spans["email/default", "handler"]] == ["queue", "run", "retry", "run", "next"]
    assert found["begin"] == 100.0 and found["end"] == 106.0 and found["subject"] == "order-5f51"
    assert [each["type"] for each in found["events"]] == ["OrderPlaced", "MailPrepared"] and found["deliveries"] == 3
    assert all(each["critical"] for each in found["events"])


def test_a_journey_says_in_one_sentence_what_it_waits_for() -> None:
    waits = "MailPrepared waits for its run 3 on email/default, next in 4.0 s: SMTPServerBusy at mailer.py:88 in send."
    first, now = orders(), 106.0
    assert journey_of(first, now)["sentence"] == waits  # type: ignore[index]
    assert "due now" in journey_of(first, 111.0)["sentence"]  # type: ignore[index]
    end = {**{name: getattr(first[-1], name) for name in ("id", "type", "topic", "source", "channel")}, "cause": "placed"}
    parked = story(**end, outcome="parked", attempt=3, begin=110.0, end=110.5, error="SMTPServerBusy", published=101.0)
    told = journey_of([*first, parked], now)["sentence"]  # type: ignore[index]
    assert told == "MailPrepared is a dead letter of email/default after 3 runs: SMTPServerBusy."
    handled = story(**end, outcome="handled", attempt=1, begin=120.0, end=120.1, published=101.0)
    done = journey_of([*first, parked, handled], now)
    assert done is not None and done["sentence"] == "All is handled; nothing waits."
    assert [span["kind"] for span in done["lanes"][-1]["spans"]][-2:] == ["parked", "run"]
    added = story(id="x", outcome="added", channel="", attempt=0, topic="t", type="Sent", source="shop", cause=None)
    assert journey_of([added], now)["sentence"].startswith("Sent lies in the outbox of shop")  # type: ignore[index]


def test_a_journey_of_any_records_is_one() -> None:
    """Whatever anybody publishes as outcomes: causes in a circle, times backwards, no ids."""
    circle = [story(id="a", cause="b", begin=5.0, end=1.0), story(id="b", cause="a", begin=3.0, end=2.0, outcome="handled")]
    found = journey_of(circle, now=0.0)
    assert found is not None and all(span["end"] >= span["begin"] for lane in found["lanes"] for span in lane["spans"])
    assert journey_of([story(id="")], now=0.0) is None and journey_of([], now=0.0) is None
    many = [story(id=f"e{number}", outcome="handled", cause=f"e{number - 1}") for number in range(400)]
    assert journey_of(many, now=0.0)["omitted"] == 200  # type: ignore[index]


def test_what_was_told_is_found_by_ids_subjects_and_their_beginnings() -> None:
    recent = Recent(most=100)
    recent.take(Batch("orders", 1.0, orders()))
    recent.take(Batch("orders", 1.0, orders()[:2]))
    assert len(recent.chain(CHAIN)) == len(orders()), "a batch that came twice counts once"
    for key in ("mail", "order-5f51", "order-", "chain-0"):
        assert len(recent.chain(key)) == len(orders()), key
    assert recent.chain("ord") == () and recent.chain("nothing") == (), "too short a beginning"
    assert [len(each) for each in recent.find("MailPrepared", 5)] == [len(orders())]
    assert list(recent.find("Nothing", 5)) == [] and list(recent.find("", 0)) == []


def test_what_was_told_is_bounded_and_the_oldest_chains_go_first() -> None:
    recent = Recent(most=50)
    for number in range(200):
        recent.take(Batch("x", 1.0, [record(id=f"id-{number}", correlation=f"chain-{number:04}")]))
    assert recent.chain("chain-0199") and not recent.chain("chain-0100")
    assert len(list(recent.find("", 1000))) == 50
