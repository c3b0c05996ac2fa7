"""Schema: what nsqd and nsqlookupd may answer. Whatever does not fit is an ordinary error that names the peer.

Only what is used here is described; fields that a newer server adds are passed over. Every number and text has a bound.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from eventbus.runtime.redaction import one_line

MOST_NODES = 256
"""nsqd that are believed: more in one answer are a mistake or an attack, and each would cost a connection."""
PEER_TEXT = 200
"""Characters of a peer's text that are shown."""

_Count = Annotated[int, Field(ge=0, le=2**63)]
_Port = Annotated[int, Field(ge=0, lt=65536)]
_Host = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]
_Name = Annotated[str, StringConstraints(pattern=r"^[.a-zA-Z0-9_-]{1,64}(#ephemeral)?$")]
_Milliseconds = Annotated[int, Field(ge=1, le=2**53)]


def peer_text(text: object) -> str:
    """Return a text of a peer as it may be shown: one line of at most 200 characters."""
    return one_line(text, most=PEER_TEXT)


_Shown = Annotated[str, BeforeValidator(peer_text)]


def _none_is_empty(value: Any) -> Any:
    return () if value is None else value


class Answer(BaseModel):
    """Root of all answers."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Identified(Answer):
    """nsqd's answer to IDENTIFY; milliseconds."""

    version: _Shown = "unknown"
    max_rdy_count: int = Field(default=2500, ge=1, le=2**31)
    msg_timeout: _Milliseconds = 60_000
    max_msg_timeout: _Milliseconds = 900_000
    tls_v1: bool = False
    deflate: bool = False
    snappy: bool = False
    auth_required: bool = False


class Producer(Answer):
    """One nsqd as nsqlookupd lists it."""

    broadcast_address: _Host
    tcp_port: _Port
    http_port: _Port
    topics: Annotated[tuple[_Name, ...], BeforeValidator(_none_is_empty), Field(strict=False)] = ()


class Producers(Answer):
    """nsqlookupd's answer to /lookup and /nodes."""

    producers: Annotated[tuple[Producer, ...], BeforeValidator(_none_is_empty), Field(strict=False)]


class Info(Answer):
    """The answer to /info."""

    version: _Shown = ""


class ClientEntry(Answer):
    """One subscriber of a channel in /stats."""

    client_id: _Shown = ""


class ChannelEntry(Answer):
    """One channel in /stats."""

    channel_name: _Name
    depth: _Count
    in_flight_count: _Count
    deferred_count: _Count
    message_count: _Count
    requeue_count: _Count
    timeout_count: _Count
    client_count: _Count
    paused: bool
    clients: Annotated[tuple[ClientEntry, ...], BeforeValidator(_none_is_empty), Field(strict=False)] = ()


class TopicEntry(Answer):
    """One topic in /stats."""

    topic_name: _Name
    depth: _Count
    message_count: _Count
    paused: bool
    channels: Annotated[tuple[ChannelEntry, ...], BeforeValidator(_none_is_empty), Field(strict=False)] = ()


class Stats(Answer):
    """nsqd's answer to /stats."""

    version: _Shown = ""
    health: _Shown = ""
    start_time: Annotated[float, Field(strict=False, ge=0)] = 0.0
    topics: Annotated[tuple[TopicEntry, ...], BeforeValidator(_none_is_empty), Field(strict=False)] = ()


A = TypeVar("A", bound=Answer)


def fit(answer: object, model: type[A]) -> A:
    """Return an answer, a JSON tree, as `model`.

    Raises:
        ValueError: in a few words, where it does not fit; nothing of the peer's text is in them.
    """
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"][:6])
        raise ValueError(f"{where or 'the answer'}: {first['msg']}") from None
