"""Changes that leave a payload nearly what it was: a decoder in C shows the fuzzer no branches to climb by bytes alone.

A script's steps are lost, doubled, swapped and taken from others; a payload's values are replaced by such as a venue
should not send. Bytes are changed too: that is the fuzzer's own part.
"""

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null')

VALUES: Final = (
    b"null", b"true", b"false", b"[]", b"{}", b"[[]]", b"[null]", b'""', b'" "', b"0", b"-0", b"-1", b"1", b"2",
    b"0.1", b"1e400", b"-1e-400", b"1e39", b"1E+5", b"9007199254740993", b"9223372036854775807",
    b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"253402300799999",
    b"253402300800000", b"-62135596800001", b"99999999999999999999999999999999999999999", b"1801439910000",
    b"1801439880000", b"1801439910.5", b'"0"', b'"-0"', b'"-1"', b'"1"', b'"NaN"', b'"-Infinity"', b'"sNaN1"',
    b'"1e400"', b'"1e-400"', b'"1e38"', b'"1E+5"', b'"1_000"', b'"\xd9\xa1"', b'" 1"', b'"+1"', b'"0x1"', b'".5"',
    b'"9223372036854775808"', b'"253402300800000"', b'"-62135596800001"', b'"1801439910000"',
    b'"99999999999999999999999999999999999999.9"', b'"0.000000000000000000000000000000000000001"', b'"a"',
    b'"\\u0000"', b'"\\ud800"', b'"\\"\\\\"', b'"\xf0\x9f\x98\x80"', b'"BTCUSDT"', b'"BTC_USDT"', b'"BTC-USDT"',
    b'"buy"', b'"snapshot"', b'"delta"', b'"update"', b'"2027-01-31T23:58:30.000Z"', b'"2027-01-31"',
    b'"0001-01-01T00:00:00Z"', b'"9999-12-31T23:59:59.999Z"', b"[" * 2000, b'{"a":' * 2000,
    b'"' + b"x" * 3000 + b'"', b"9" * 5000, b'"' + b"9" * 5000 + b'"',
)  # fmt: skip

Bytes = Callable[[bytes, int], bytes]
"""Changes bytes, to so many at most."""


def mutated(data: bytes, others: Sequence[bytes], rng: Random, size_max: int, by_bytes: Bytes) -> bytes:
    """Return an input that is a little different.

    Args:
        data: an input; its first line is kept.
        others: inputs to take steps from.
        rng: what draws the lots.
        size_max: how long it may become.
        by_bytes: the fuzzer's own way of changing bytes.

    """
    head, newline, rest = data.partition(b"\n")
    if not newline:
        return (rng.choice(others) if others else data)[:size_max]
    rest = _steps(head, rest, others, rng, by_bytes) if b" socket " in head else _payload(rest, rng, by_bytes)
    changed = head + newline + rest
    return changed if len(changed) <= size_max else changed[:size_max]


def _steps(head: bytes, rest: bytes, others: Sequence[bytes], rng: Random, by_bytes: Bytes) -> bytes:
    steps = rest.split(b"\n")
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(steps))
        lot = rng.random()
        if lot < 0.55:
            steps[at] = steps[at][:2] + _payload(steps[at][2:], rng, by_bytes).replace(b"\n", b" ")
        elif lot < 0.63:
            del steps[at]
        elif lot < 0.70:
            steps.insert(rng.randrange(len(steps) + 1), steps[at])
        elif lot < 0.77:
            to = rng.randrange(len(steps))
            steps[at], steps[to] = steps[to], steps[at]
        elif lot < 0.82:
            steps.insert(at, rng.choice((b"t 1000", b"t 30000", b"t 86400000", b"c 0", b"c 1", b"c 99", b"x no")))
        elif lot < 0.86:
            steps[at] = rng.choice((b"= ", b"+ ", b"r ")) + steps[at][2:]
        elif lot < 0.90:
            steps.insert(at, rng.choice((b"p candles", b"p trades")))
        else:
            steps[at:at] = _borrowed(head, others, rng)
        steps = steps or [b"t 1"]
    return b"\n".join(steps)


def _borrowed(head: bytes, others: Sequence[bytes], rng: Random) -> list[bytes]:
    """Return some steps of another script of the same market."""
    market = head.partition(b" ")[0] + b" socket "
    for _ in range(8):
        other = rng.choice(others) if others else b""
        if other.startswith(market):
            steps = other.split(b"\n")[1:]
            begin = rng.randrange(len(steps))
            return steps[begin : begin + rng.randint(1, 5)]
    return []


def _payload(payload: bytes, rng: Random, by_bytes: Bytes) -> bytes:
    lot = rng.random()
    tokens = [match.span() for match in TOKEN.finditer(payload)] if lot < 0.85 else []
    if not tokens:
        return by_bytes(payload, len(payload) + 64)
    begin, end = rng.choice(tokens)
    held = payload[begin:end]
    if lot < 0.4:
        put = rng.choice(VALUES)
    elif lot < 0.55:
        from_, to = rng.choice(tokens)
        put = payload[from_:to]
    elif lot < 0.65:
        put = b'"' + held + b'"' if not held.startswith(b'"') else held[1:-1] or b"0"
    elif lot < 0.75:
        put = _near(held, rng)
    elif lot < 0.8:
        return _without(payload, begin, end)
    else:
        put = held + b"," + held
    return payload[:begin] + put + payload[end:]


def _near(held: bytes, rng: Random) -> bytes:
    """Return a number close to one, or related to it, quoted as it was."""
    bare = held.strip(b'"')
    if not bare.isdigit() or len(bare) > 30:
        return b'"-1"' if held.startswith(b'"') else b"-1"
    number = int(bare)
    near = rng.choice((number + 1, number - 1, -number, number * 1000, number // 1000, number + 60_000, number * 2))
    text = b"%d" % near
    return b'"' + text + b'"' if held.startswith(b'"') else text


def _without(payload: bytes, begin: int, end: int) -> bytes:
    """Return the payload without a value, and without the name or the comma that leads to it."""
    while begin > 0 and payload[begin - 1 : begin] not in (b"{", b"[", b","):
        begin -= 1
    if payload[end : end + 1] == b",":
        end += 1
    elif payload[begin - 1 : begin] == b",":
        begin -= 1
    return payload[:begin] + payload[end:]
