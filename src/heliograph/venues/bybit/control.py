"""Telling apart the frames that are not market data, and the markets by what is captured of them.

Source: https://bybit-exchange.github.io/docs/v5/ws/connect . How a subscription is refused is not documented: the texts
`error:handler not found,topic:…` and `error:already subscribed,topic:…` were seen (2026-09). One topic that is refused
fails its whole request: none of the others is delivered.
"""

import re
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from heliograph.model.instrument import SPOT, MarketId
from heliograph.venues.bybit.frames import RawAny, decode_any
from heliograph.venues.bybit.instruments import INVERSE, LINEAR, is_inverse
from heliograph.venues.faults import FAULTS
from heliograph.venues.fields import NOTHING

_MARKETS: Final = {str(market): market for market in (SPOT, LINEAR, INVERSE)}
_NOT_OF_TOPICS: Final = re.compile(r"[^\w.\-/]+")
_LINEAR_ONLY: Final = re.compile(r"PERP$|-[0-9]{1,2}[A-Z]{3}[0-9]{2}$")
_ALREADY: Final = "already subscribed"


class Answer(msgspec.Struct, frozen=True):
    """The venue's answer to a message of ours."""

    operation: str
    """`subscribe`, `unsubscribe`, `ping`, `pong`, `auth`; empty where it does not say."""
    id: str
    success: bool
    code: str
    """The venue's own, where it gives one; else the operation."""
    reason: str

    @property
    def repeated(self) -> bool:
        """Whether what is refused is refused because it is served already."""
        return _ALREADY in self.reason

    def names(self, topics: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of these topics that the reason names."""
        words = set(_NOT_OF_TOPICS.split(self.reason))
        return tuple(topic for topic in topics if topic in words)


def to_answer(raw: RawAny) -> Answer:
    """Make an answer of a frame without a topic; raise `ValueError` if it is none."""
    if raw.op is None and raw.success is None and raw.type is None:
        raise ValueError("neither an event nor an answer that is documented")
    operation = raw.op or ""
    code = operation if raw.ret_code is None else str(raw.ret_code)
    return Answer(operation, raw.req_id or "", raw.success is not False, code, raw.ret_msg)


class RawTraits(msgspec.Struct):
    """The fields by which an event tells its market."""

    s: str | None = None
    symbol: str | None = None
    L: str | None = None
    usdIndexPrice: msgspec.Raw = NOTHING  # noqa: N815 (the venue's names)
    indexPrice: msgspec.Raw = NOTHING  # noqa: N815
    markPrice: msgspec.Raw = NOTHING  # noqa: N815
    bid1Price: msgspec.Raw = NOTHING  # noqa: N815


class RawCategory(msgspec.Struct):
    """Where an answer names its market."""

    category: str


class RawResult(msgspec.Struct):
    """An answer that names its market."""

    result: RawCategory


_decode_result: Final = msgspec.json.Decoder(RawResult).decode
_decode_traits: Final = msgspec.json.Decoder(RawTraits | list[RawTraits]).decode


def market_of(url: str | None, frame: bytes) -> MarketId | None:
    """Tell the market by the URL, by the category of an answer, or by what only one market's frames have.

    Most frames of spot and of linear contracts look the same: the symbol does not tell (`BTCUSDT` is on both).
    """
    try:
        told = None if url is None else _market_by_url(url)
        if told is not None:
            return told
        raw = decode_any(frame)
        if raw.topic is not None:
            return _market_by_traits(raw.topic, raw.data)
        return _MARKETS.get(_decode_result(frame).result.category)
    except FAULTS:
        return None


def _market_by_url(url: str) -> MarketId | None:
    parts = urlsplit(url)
    category = parse_qs(parts.query).get("category", [""])[0]
    path, _, last = parts.path.rpartition("/")
    return _MARKETS.get(category) or (_MARKETS.get(last) if path.endswith("/v5/public") else None)


def _market_by_traits(topic: str, data: bytes | msgspec.Raw) -> MarketId | None:
    name = topic.rpartition(".")[2]
    if is_inverse(name):
        return INVERSE
    if _LINEAR_ONLY.search(name):
        return LINEAR
    if not data or topic.startswith("kline"):
        return None
    found = _decode_traits(data)
    raw = found[0] if isinstance(found, list) else found
    if topic.startswith("publicTrade"):
        return SPOT if raw.L is None else LINEAR
    if raw.indexPrice or raw.markPrice or raw.bid1Price:
        return LINEAR
    return SPOT if raw.usdIndexPrice else None
