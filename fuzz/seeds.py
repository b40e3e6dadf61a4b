"""What the fuzzer starts from: payloads that follow the documentation, and what the simulated venues really say."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from fuzz.playing import Play
from fuzz.targets import REGRESSIONS
from heliograph.clock import NS_PER_MS
from heliograph.model import demand, wire
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Channel, DayStatistics
from heliograph.testing.meeting import Meeting
from heliograph.testing.stage import START_NS
from heliograph.venues import VENUES
from heliograph.venues.contract import Connection, Effect, Feed, Market, Request, Subscription

FIXTURES: Final = Path(__file__).parent.parent / "tests" / "venues"
SEED_BYTES_MAX: Final = 6_000
LISTEN_S: Final = 4
_RANDOM: Final = random.Random(1)


class _Scribe:
    """A feed that writes down what it is told, and hands it on."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.steps: list[bytes] = []

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        self._feed.opened(now_ns, effects)

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        self.steps += [(b"+ " if index else b"= ") + frame for index, frame in enumerate(frames)]
        self._feed.decode(frames, received_ns, events, effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        self.steps.append(b"t 1000")
        self._feed.ticked(now_ns, effects)

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        self.steps.append(b"c %d" % len(wanted))
        self._feed.change(wanted, effects)

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        self.steps.append(b"r " + _compact(body))
        self._feed.fetched(request, body, received_ns, events, effects)

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        return self._feed.book_counters()

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        self.steps.append(b"x " + reason.encode())
        self._feed.failed(request, reason, now_ns, effects)


def of_venue(play: Play) -> Iterator[bytes]:
    """Yield scripts of a venue: what its simulator says at every door, and its fixtures at each of them."""
    for market in play.stage.markets:
        for index in range(len(play.connections(market))):
            yield from _listened(play, market, index)
        yield from _answers(play, market)
        for instrument in play.instruments(market):
            yield f"{market.market} name\n{instrument.venue_symbol}".encode()
            yield f"{market.market} name\n{instrument.symbol}".encode()
    for payload in _fixtures(play.venue.name):
        for name in play.venue.markets:
            yield b"%b socket any\n= %b" % (name.encode(), payload)
            yield b"%b instruments\n%b" % (name.encode(), payload)
            yield b"%b error 400\n%b" % (name.encode(), payload)
            yield b"%b socket 0\np candles\nr %b" % (name.encode(), payload)


def _listened(play: Play, market: Market, index: int) -> Iterator[bytes]:
    """Yield what one connection hears, as it is and with each frame's fate drawn by lot."""
    scribes: list[_Scribe] = []

    def listening(connection: Connection) -> Feed:
        scribes.append(_Scribe(market.feed(connection)))
        return scribes[-1]

    watched = msgspec.structs.replace(market, feed=listening)
    meeting = Meeting(play.stage, watched, play.connections(market)[index].subscriptions)
    meeting.go(LISTEN_S)
    for what in ("candles", "trades"):
        request = play.page(market, what)
        if request is not None:
            scribes[0].steps.append(f"p {what}".encode())
            meeting.ask(request)
    head = f"{market.market} socket {index}".encode()
    heard = [step for step in scribes[0].steps if len(step) < SEED_BYTES_MAX // 2]
    for begin in range(0, len(heard), 5):
        yield _script(head, heard[:3] + heard[begin : begin + 5])
    yield _script(head, [step for step in heard if _RANDOM.random() < 0.7])
    yield _script(head, [*heard[:6], b"c 1", b"t 70000", *heard[6:10], b"c 9", b"x lost"])


def _script(head: bytes, steps: Sequence[bytes]) -> bytes:
    script = head
    for step in steps:
        if len(script) + len(step) > SEED_BYTES_MAX:
            break
        script += b"\n" + step
    return script


def _answers(play: Play, market: Market) -> Iterator[bytes]:
    name = market.market.encode()
    listing = market.instruments_request()
    body = _compact(play.stage.answer(market, listing, START_NS).body)
    yield b"%b instruments\n%b" % (name, body)
    requests = [listing, *filter(None, (play.page(market, what) for what in ("candles", "trades")))]
    for request in requests:
        query = "&".join(f"{key}={value}" for key, value in request.query)
        answer = _compact(play.stage.answer(market, request, START_NS).body)
        yield f"{market.market} answer {request.path}?{query}\n".encode() + answer[:SEED_BYTES_MAX]
    wrong = msgspec.structs.replace(listing, path="/no/such/path")
    yield b"%b error 404\n%b" % (name, _compact(play.stage.answer(market, wrong, START_NS).body))


def _fixtures(venue: str) -> Iterator[bytes]:
    for path in sorted((FIXTURES / venue / "fixtures").glob("*.json")):
        payload = _compact(path.read_bytes())
        if len(payload) < SEED_BYTES_MAX:
            yield payload


def _compact(body: bytes) -> bytes:
    """Return JSON on one line; anything else with its lines joined, since a line is a step."""
    try:
        return msgspec.json.format(body, indent=-1)
    except msgspec.DecodeError:
        return body.replace(b"\n", b" ")


def of_wire() -> Iterator[bytes]:
    """Yield entries of every kind of stream, made of what a simulated venue says."""
    play = Play(VENUES[VenueId("binance")])
    market = play.stage.markets[0]
    meeting = Meeting(play.stage, market, [s for c in play.connections(market) for s in c.subscriptions])
    meeting.go(LISTEN_S)
    encoder = wire.Encoder()
    names = {"Candle": "candle", "Trade": "trade", "BookSnapshot": "orderbook", "BookDelta": "book_delta"}
    seen: dict[str, int] = {}
    for event in meeting.events:
        name = names.get(type(event).__name__)
        if name is None or isinstance(event, BookTop | DayStatistics):
            continue
        seen[name] = seen.get(name, 0) + 1
        if seen[name] <= 5:
            yield f"{name}\n".encode() + encoder.encode(event)
    yield (
        b'ticker\n{"exchange":"binance","symbol":"BTC/USDT","timestamp":"2027-01-31T23:58:30.000Z","last_price":1.5,'
        b'"bid_price":1.4,"ask_price":1.6,"volume_24h":10,"bid_quantity":"2","ask_quantity":null,"event_time":null}'
    )
    yield (
        b'gap\n{"channel":"candles","interval":"1m","from_time":"2027-01-31T23:57:00.000Z",'
        b'"to_time":"2027-01-31T23:58:00.000Z","from_sequence":null,"to_sequence":7,"reason":"lost",'
        b'"timestamp":"2027-01-31T23:58:30.000Z"}'
    )
    asked = demand.Demand(
        "g", VenueId("binance"), MarketId("spot"), ("BTCUSDT",), Channel.CANDLES, Interval.M1,
        START_NS // NS_PER_MS,
    )  # fmt: skip
    yield b"demand\n" + demand.encode(asked)


def of_gateway() -> Iterator[bytes]:
    """Yield what clients say first."""
    yield b'client\n{"exchange":"binance","contract_type":"spot","symbols":["BTCUSDT","ETHUSDT"],"limit":10}'
    yield b'client\n{"exchange":"okx","symbols":["BTC-USDT-SWAP"]}'
    yield b'client\n{"request_id":"1","operation":"get","params":{}}'


def of_bus() -> Iterator[bytes]:
    """Yield replies as a server writes them, and what else the bus reads."""
    yield b"link\n+OK\r\n:1\r\n$3\r\nabc\r\n*2\r\n:1\r\n-ERR no\r\n$-1\r\n+QUEUED\r\n"
    yield b"link\n*-1\r\n-LOADING wait\r\n*3\r\n$1\r\na\r\n*0\r\n%1\r\n+a\r\n#t\r\n,1.5\r\n(1234567890123456789\r\n"
    yield b"command\nXADD\nkey\n*\ndata\n{}"
    yield b'batch\n{"price":1}\n{"price":2}\n\r\n$3\r\n'
    yield b"id\n1732182160123-0"
    yield b"url\nredis://user:word@host.test:6380/2?ssl_ca_certs=a"
    yield b"url\nredis+cluster://:word@one.test:1,two.test:2"
    yield b"url\nunix:///run/valkey.sock?db=3"


def of_capture() -> Iterator[bytes]:
    """Yield lines of captures."""
    yield b'lines\n{"t":1700000000.123456,"dir":"in","url":"wss://host.test/ws","raw":"{}"}\n\n{"t":1,"raw":"pong"}'


def seeds(target: str) -> list[bytes]:
    """Return a target's first inputs, what once broke it among them."""
    makers: dict[str, Callable[[], Iterator[bytes]]] = {
        "wire": of_wire, "gateway": of_gateway, "bus": of_bus, "capture": of_capture,
    }  # fmt: skip
    known = makers.get(target) or partial(of_venue, Play(VENUES[VenueId(target)]))
    found = list(dict.fromkeys(known()))
    return found + [path.read_bytes() for path in sorted((REGRESSIONS / target).glob("*"))]
