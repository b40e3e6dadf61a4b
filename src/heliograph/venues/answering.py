"""Answers of a REST interface: what was asked, and what becomes of an answer that cannot be read.

`Market.read_answer` raises `DecodeError`, `Market.parse_error` never raises: here is what of that is alike everywhere.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from heliograph.errors import ConfigError, DecodeError
from heliograph.venues.contract import VenueError
from heliograph.venues.faults import FAULTS, REASON_MAX

URL_ECHO_MAX: Final = 200


class Asked(NamedTuple):
    """What an answer answers."""

    path: str
    """Without a slash at its end."""
    query: Mapping[str, str]


def asked_of(url: str) -> Asked:
    """Take a URL, or its path and query, apart; raise `ValueError` if it is none."""
    parts = urlsplit(url)
    return Asked(parts.path.rstrip("/"), dict(parse_qsl(parts.query)))


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Make a `DecodeError`, which names the URL, of whatever reading its answer raises."""
    try:
        yield
    except (*FAULTS, ConfigError) as e:
        raise DecodeError(f"{url[:URL_ECHO_MAX]}: {e}") from e


def is_a(decode: Callable[[bytes], object], body: bytes) -> bool:
    """Tell whether a body is what this decoder decodes, such as a refusal in a recording of answers."""
    try:
        decode(body)
    except FAULTS:
        return False
    return True


def problem_of(status: int, body: bytes, read: Callable[[bytes], VenueError]) -> VenueError:
    """Read the body of an answer that is not a success, be it the venue's or of what stands in front of it.

    Args:
        status: the HTTP status, which is the code where the body is not the venue's.
        body: the answer.
        read: reads the venue's own; may raise one of `FAULTS`.

    """
    try:
        said = read(body)
        return VenueError(said.code[:REASON_MAX], said.reason[:REASON_MAX], said.subscriptions)
    except FAULTS:
        return VenueError(str(status), body[:REASON_MAX].decode("utf-8", "replace"))
