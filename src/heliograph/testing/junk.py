"""Bytes that no venue documents: whatever is made of them, nothing is raised, and nothing else is lost."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.market import Channel
from heliograph.testing.claim import require
from heliograph.testing.hearing import everything
from heliograph.testing.meeting import Meeting
from heliograph.testing.stage import Stage
from heliograph.venues.contract import Effect, Market, Refused

if TYPE_CHECKING:
    from heliograph.model.event import VenueEvent

SAMPLE_MAX: Final = 60
"""Genuine frames that are spoilt."""
SEED: Final = 34

CONTROL: Final = (b"pong", b"ping", b'""', b"Websocket connection established.", b"{}", b"[]", b"null", b"")
"""What venues say besides data (T18), and what says nothing: refused or ignored, never raised."""

WEIRD: Final = (
    *CONTROL,
    b"\xff\xfe\x00",
    b"true",
    b"0",
    b'"' + b"x" * 70_000 + b'"',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"data":[{}]}',
    b'{"result":{}}',
    b'{"event":"error"}',
    b'{"id":8578128440611119318}',
    b"1" * 5000,
    b"NaN",
    "\N{ZERO WIDTH JOINER}".encode(),
)
_VALUES: Final[Sequence[Any]] = (
    None,
    "",
    "NaN",
    "Infinity",
    "1e999999",
    -1,
    2**63,
    2**70,
    1.5,
    True,
    [],
    {},
    "9" * 5000,
    "0x10",
    [[]],
)


def check_junk(stage: Stage, market: Market) -> None:
    """No bytes make a codec raise; each bad frame is told by its place, and costs no other.

    Raises:
        Nonconforming: some do.

    """
    instruments = stage.listed(market)
    intervals = market.intervals[:1] if Channel.CANDLES in market.channels else ()
    meeting = Meeting(stage, market, everything(market, instruments, intervals))
    meeting.go(5)
    random = Random(SEED)
    frames = meeting.frames if len(meeting.frames) < SAMPLE_MAX else random.sample(meeting.frames, SAMPLE_MAX)
    junk = [*WEIRD, *(spoilt for frame in frames for spoilt in _spoilt(frame, random))]
    for line in meeting.lines:
        for frame in junk:
            _check_batch(market, line.feed.decode, [frame], meeting.now_ns)
        _check_batch(market, line.feed.decode, junk, meeting.now_ns)
    _check_answers(market, meeting, random)
    _check_readers(stage, market, junk)
    _check_neighbours(stage, market)


def _check_batch(market: Market, decode: Callable[..., None], frames: Sequence[bytes], now_ns: int) -> None:
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    with _unraised(market, "a feed's `decode`", frames):
        decode(frames, now_ns, events, effects)
    places = [effect.index for effect in effects if isinstance(effect, Refused)]
    right = all(0 <= place < len(frames) for place in places)
    require(right, market, "a frame is refused by its place in the batch", places)
    for event in events:
        unsound = [value for value in _amounts(event) if not value.is_finite() or len(value.as_tuple().digits) > 38]
        require(not unsound, market, "numbers are finite, and have at most 38 digits", (frames[0][:100], unsound))


def _check_answers(market: Market, meeting: Meeting, random: Random) -> None:
    for request, body in meeting.answers[:5]:
        for line in meeting.lines:
            for spoilt in (*WEIRD, *_spoilt(body, random)):
                with _unraised(market, "a feed's `fetched`", spoilt):
                    line.feed.fetched(request, spoilt, meeting.now_ns, [], [])


def _check_readers(stage: Stage, market: Market, junk: Sequence[bytes]) -> None:
    page = market.instruments_request()
    listed = stage.answer(market, page, 0).body
    for body in (*junk, *_spoilt(listed[:100_000], Random(SEED))):
        with _unraised(market, "`parse_error`", body):
            market.parse_error(200, body)
            market.parse_error(503, body)
        with _unraised(market, "`market_of`", body):
            stage.venue.market_of(None, body)
        with _unraised(market, "`parse_instruments`, but for `DecodeError`,", body), contextlib.suppress(DecodeError):
            market.parse_instruments(body)
        with _unraised(market, "`read_answer`, but for `DecodeError`,", body), contextlib.suppress(DecodeError):
            market.read_answer(page.path, body, 0)
        text = body[:200].decode(errors="replace")
        with _unraised(market, "`instrument`, but for `ConfigError`,", body), contextlib.suppress(ConfigError):
            market.instrument(text)
        if market.next_instruments is not None:
            with _unraised(market, "`next_instruments`", body):
                market.next_instruments(page, body)


def _check_neighbours(stage: Stage, market: Market) -> None:
    """Hold a feed that hears nonsense between any two frames against one that does not."""
    intervals = market.intervals[:1] if Channel.CANDLES in market.channels else ()
    wanted = everything(market, stage.listed(market)[:1], intervals)
    clean, noisy = Meeting(stage, market, wanted), Meeting(stage, market, wanted)
    clean.go(10)
    noisy.go(10, lambda _name, frame: [b'{"nonsense":', frame])
    refused = [effect for effect in noisy.complaints if isinstance(effect, Refused)]
    require(refused, market, "what is no JSON is refused with a reason")
    require(all(effect.reason for effect in refused), market, "what is refused is refused with a reason", refused[:1])
    require(len(refused) == len(noisy.complaints), market, "a bad frame is refused, and no more", noisy.complaints[:3])
    same = clean.events == noisy.events
    require(same, market, "a bad frame costs no other", f"{len(noisy.events)} events of {len(clean.events)}")


@contextlib.contextmanager
def _unraised(market: Market, what: str, source: object) -> Iterator[None]:
    try:
        yield
    except Exception as e:  # Whatever it is, it is what this check is for, and is told with what made it.
        require(False, market, f"{what} raises nothing, whatever comes", (type(e).__name__, str(e)[:80], source))


def _spoilt(frame: bytes, random: Random) -> Iterator[bytes]:
    """Yield some ways in which a frame can be wrong."""
    for _ in range(3):
        yield frame[: random.randrange(len(frame) + 1)]
        at = random.randrange(len(frame) or 1)
        yield frame[:at] + bytes([random.randrange(256)]) + frame[at + 1 :]
    try:
        content = json.loads(frame)
    except ValueError:
        return
    places = list(_places(content))
    for _ in range(6):
        if places:
            holder, key = random.choice(places)
            kept = holder[key]
            holder[key] = random.choice(_VALUES)
            yield json.dumps(content).encode()
            holder[key] = kept
    if isinstance(content, dict):
        for key in content:
            yield json.dumps({name: value for name, value in content.items() if name != key}).encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(content, dict):
        pairs = content.items()
    elif isinstance(content, list):
        pairs = enumerate(content)
    for key, value in pairs:
        yield content, key
        yield from _places(value)


def _amounts(event: msgspec.Struct) -> Iterator[Decimal]:
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, Decimal):
            yield value
        elif isinstance(value, list | tuple):
            yield from (amount for level in value for amount in level)
