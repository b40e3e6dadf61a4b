"""Frames about subscriptions, and what tells whose frame one is.

Sources: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions . Errors are a
sentence, which sometimes ends with the request as JSON (undocumented, seen 2026-06-04 and 2025-11-10:
https://github.com/gemwalletcom/wallet/issues/462 , https://github.com/nktkas/hyperliquid/issues/78 ).
"""

from typing import Final

import msgspec

from heliograph.model.instrument import SPOT, MarketId
from heliograph.venues.contract import Effect, Reconnect, VenueError
from heliograph.venues.faults import FAULTS, REASON_MAX
from heliograph.venues.hyperliquid.frames import RawConfirmed, RawSubscription, decode_subscription
from heliograph.venues.hyperliquid.instruments import USDM, is_name
from heliograph.venues.hyperliquid.streams import Stream
from heliograph.venues.subscribing import UNACKNOWLEDGED, Subscriber

_ALREADY: Final = "already "
"""So begin errors that say that things are as we want them: `Already subscribed`, `Already unsubscribed`."""


def stream_of(raw: RawSubscription) -> Stream:
    """Return the stream that a subscription, or a request with one, is about."""
    inner = raw if raw.subscription is None else raw.subscription
    return Stream(inner.type, inner.coin or "", inner.interval or "")


class Wishes:
    """What the venue says to the streams that were asked for.

    It answers each with the request itself, or with an error that may or may not name it. An error that names none
    belongs to those that are never acknowledged.

    Args:
        control: what was asked for.

    """

    def __init__(self, control: Subscriber[Stream]) -> None:
        self._control = control
        self._problem: str | None = None

    def confirmed(self, raw: RawConfirmed) -> None:
        """Take the venue's yes."""
        stream = stream_of(raw.subscription)
        if self._control.confirmed(stream, subscribes=raw.method == "subscribe") or raw.method != "subscribe":
            return
        # Another spelling of ours, then: answers come in the order of requests.
        alike = next((other for other in self._control.unanswered() if other.type == stream.type), None)
        if alike is not None:
            self._control.confirmed(alike)

    def refused(self, text: str, effects: list[Effect]) -> None:
        """Take the venue's no."""
        named = _named(text)
        carriers = () if named is None else self._control.carriers([named])
        if named is not None and text.lower().startswith(_ALREADY):
            self._control.confirmed(named)
        elif named is not None and carriers:
            self._control.confirmed(named)
            effects.append(VenueError("error", text[:REASON_MAX], carriers))
        else:
            self._problem = text[:REASON_MAX]

    def ticked(self, effects: list[Effect]) -> None:
        """Say what became of that which was not answered in time."""
        late = self._control.late()
        problem = self._problem
        if not late and (problem is None or self._control.unanswered()):
            return
        self._problem = None
        if not late:
            effects.append(Reconnect(f"the venue said: {problem}"))
        elif problem is None or "messages per minute" in problem:
            effects.append(Reconnect(problem or UNACKNOWLEDGED))
        else:
            effects.append(VenueError("error", problem, self._control.carriers(late)))


def _named(text: str) -> Stream | None:
    start = text.find("{")
    if start < 0:
        return None
    try:
        return stream_of(decode_subscription(text[start:].encode()))
    except FAULTS:
        return None


class RawQuestion(msgspec.Struct):
    """What a request to `/info` says that tells its market and instrument."""

    type: str
    coin: str | None = None
    req: "RawCandleQuestion | None" = None


class RawCandleQuestion(msgspec.Struct):
    """What of a candle request tells its instrument."""

    coin: str
    interval: str


class RawNames(msgspec.Struct):
    """The fields in which an element of market data names its instrument."""

    coin: str | None = None
    s: str | None = None


class RawTraits(msgspec.Struct):
    """A frame, as far as it tells its market."""

    channel: str = ""
    data: RawNames | list[RawNames] | None = None


_decode_question = msgspec.json.Decoder(RawQuestion).decode
_decode_traits = msgspec.json.Decoder(RawTraits).decode
_LISTS: Final = {
    "meta": USDM, "allPerpMetas": USDM, "metaAndAssetCtxs": USDM, "spotMeta": SPOT, "spotMetaAndAssetCtxs": SPOT
}  # fmt: skip


def question_of(asked: str) -> RawQuestion | None:
    """Return the question in a URL that its request's body was put behind; None if there is none that is documented.

    Raises one of `FAULTS` where there is something else in its place.
    """
    start = asked.find("{")
    if start < 0:
        return None
    return None if asked[start:].startswith('{"action"') else _decode_question(asked[start:].encode())


def market_of(url: str | None, frame: bytes) -> MarketId | None:
    """Tell the market by what was asked, or by the name of an instrument: one URL serves both markets."""
    try:
        question = None if url is None else question_of(url)
        if question is not None:
            coin = question.coin if question.req is None else question.req.coin
            return _LISTS.get(question.type) or _market_of_name(coin)
        raw = _decode_traits(frame)
        names = raw.data[0] if isinstance(raw.data, list) else raw.data
        return None if names is None else _market_of_name(names.coin or names.s)
    except FAULTS:
        return None


def _market_of_name(name: str | None) -> MarketId | None:
    return None if name is None else next((m for m in (USDM, SPOT) if is_name(m, name)), None)
