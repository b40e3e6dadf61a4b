import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import ConfigError, DecodeError
from heliograph.venues.answering import asked_of, is_a, problem_of, reading
from heliograph.venues.contract import VenueError


class RawNo(msgspec.Struct):
    code: int


decode = msgspec.json.Decoder(RawNo).decode


def read(body: bytes) -> VenueError:
    return VenueError(str(decode(body).code), "no")


@pytest.mark.parametrize("url", ["https://there.example/v1/book/?a=1&b=2", "/v1/book?a=1&b=2"])
def test_a_url_or_its_path_says_what_was_asked(url: str) -> None:
    assert asked_of(url) == ("/v1/book", {"a": "1", "b": "2"})


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), ConfigError("x", ()), ArithmeticError("x")])
def test_what_cannot_be_read_names_its_url(error: Exception) -> None:
    with pytest.raises(DecodeError, match="/v1/book"), reading("/v1/book"):
        raise error


def test_a_bug_of_ours_is_not_made_the_venues() -> None:
    with pytest.raises(AttributeError), reading("/v1/book"):
        raise AttributeError


def test_a_body_is_what_its_decoder_decodes() -> None:
    assert is_a(decode, b'{"code":1}')
    assert not is_a(decode, b"[]")


@given(st.binary(max_size=500))
def test_no_body_of_an_error_raises(body: bytes) -> None:
    problem = problem_of(502, body, read)
    assert problem.code
    assert len(problem.reason) <= 200


def test_an_error_is_the_venues_or_its_status() -> None:
    assert problem_of(400, b'{"code":7}', read) == VenueError("7", "no")
    assert problem_of(502, b"<html>", read) == VenueError("502", "<html>")
