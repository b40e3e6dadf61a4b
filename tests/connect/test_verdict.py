import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.connect.verdict import RESET_S_MAX, Told, judge, read_headers, too_often, unsaid_wait_s
from heliograph.errors import VenueRejected, VenueUnreachable
from heliograph.venues import binance
from heliograph.venues.contract import BudgetHeaders, Limits, Refusal

MARKET = next(iter(binance.VENUE.markets.values()))
LIMITS = MARKET.limits
NAMED = BudgetHeaders("left", "limit", "reset", 0.001)


def limits(**changed: object) -> Limits:
    return msgspec.structs.replace(LIMITS, **changed)


def told(headers: dict[str, str], now_s: float = 0) -> Told:
    return read_headers(limits(headers=NAMED), headers, int(now_s * NS_PER_S))


def test_headers_are_read_as_declared() -> None:
    headers = {"X-MBX-USED-WEIGHT-1M": "7", "left": "3", "limit": "10", "reset": "5250"}
    assert told(headers, now_s=5) == Told(7, 3, 10, 0.25)
    assert told(headers, now_s=6).reset_s == 0, "an instant that is past"
    assert read_headers(LIMITS, headers, 0) == Told(7, None, None, None), "nothing is declared, nothing is read"


def test_an_end_of_a_window_that_is_far_away_is_somebodys_wrong_clock() -> None:
    assert told({"reset": "9999999999999"}).reset_s == RESET_S_MAX


@given(st.dictionaries(st.sampled_from(["X-MBX-USED-WEIGHT-1M", "left", "limit", "reset"]), st.text()))
def test_no_headers_make_it_raise(headers: dict[str, str]) -> None:
    for number in (told(headers).used, told(headers).left, told(headers).limit):
        assert number is None or number >= 0


@pytest.mark.parametrize(
    ("refusal", "status", "code", "reason", "expected"),
    [
        (Refusal(status=429), 429, "x", "", True),
        (Refusal(status=429), 400, "x", "", False),
        (Refusal(code="10006"), 200, "10006", "Too many visits!", True),
        (Refusal(code="10006"), 200, "10001", "", False),
        (Refusal(status=403, words="too frequent"), 403, "403", "Access Too Frequent.", True),
        (Refusal(status=403, words="too frequent"), 403, "403", "the country", False),
        (Refusal(status=403, words="too frequent"), None, None, "access too frequent", False),
    ],
)
def test_a_refusal_matches_by_all_that_it_names(
    refusal: Refusal, status: int, code: str, reason: str, *, expected: bool
) -> None:
    found = too_often(limits(refusals=(refusal,)), status, code, reason)
    assert found == (refusal if expected else None)


def test_a_success_is_nothing_else() -> None:
    assert judge(MARKET, 200, {}, b"{}", 60, None) is None
    lying = msgspec.structs.replace(MARKET, success_code="0")
    assert judge(lying, 200, {}, b'{"code":0,"msg":""}', 60, None) is None
    assert judge(lying, 200, {}, b"[what has no code]", 60, None) is None
    assert isinstance(judge(lying, 200, {}, b'{"code":7,"msg":"no"}', 60, None), VenueRejected)


@pytest.mark.parametrize(
    ("headers", "said_s", "reset_s", "expected_s"),
    [({"Retry-After": "7"}, 5, 3, 7), ({}, 5, 3, 5), ({}, None, 3, 3), ({}, None, 0.0, 60), ({}, None, None, 60)],
)
def test_a_limit_says_how_long_it_lasts_by_the_surest_word_there_is(
    headers: dict[str, str], said_s: float | None, reset_s: float | None, expected_s: float
) -> None:
    market = msgspec.structs.replace(MARKET, limits=limits(refusals=(Refusal(status=429, wait_s=said_s),)))
    failure = judge(market, 429, headers, b'{"code":-1003,"msg":"too much"}', 60, reset_s)
    assert isinstance(failure, VenueUnreachable)
    assert (failure.kind, failure.retry_after_s, failure.status) == ("limited", expected_s, 429)
    assert "-1003" in failure.reason


def test_who_does_not_say_for_how_long_is_asked_again_ever_later() -> None:
    waits_s = [unsaid_wait_s(60, times) for times in (1, 2, 3, 4, 5, 6, 7, 8, 10**9)]
    assert waits_s == [7.5, 15, 30, 60, 120, 240, 480, 480, 480]
    assert [unsaid_wait_s(2, times) for times in (1, 2, 3, 4, 5)] == [1, 2, 4, 8, 16]
    assert unsaid_wait_s(0.5, 1) == 0.5


def test_a_no_is_rejected_and_what_passes_is_not() -> None:
    body = b'{"code":-1121,"msg":"Invalid symbol."}'
    failure = judge(MARKET, 400, {}, body, 60, None)
    assert isinstance(failure, VenueRejected)
    assert failure.code == "-1121"
    passing = msgspec.structs.replace(MARKET, limits=limits(passing_codes=frozenset({"-1121"})))
    assert isinstance(judge(passing, 400, {}, body, 60, None), VenueUnreachable)
    for status in (301, 500, 503):
        failure = judge(MARKET, status, {}, body, 60, None)
        assert isinstance(failure, VenueUnreachable)
        assert failure.kind == "http_status"
