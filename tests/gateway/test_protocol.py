import json
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.gateway import protocol
from heliograph.gateway.protocol import QuoteEncoder, Refusal, Subscribe
from heliograph.model.instrument import Instrument, MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel, Gap
from tests.gateway.samples import BTCUSDT, MINUTE_NS, OPEN_NS, candle

GOOD = {"exchange": "binance", "contract_type": "spot", "symbols": ["BTCUSDT", "ETHUSDT"], "limit": 0}


def test_a_subscribe_message_is_read_in_the_clients_own_words() -> None:
    payload = json.dumps({"exchange": "Binance", "contract_type": "um", "symbols": ["btc/usdt"], "limit": 3}).encode()
    assert protocol.parse(payload) == Subscribe("Binance", "um", ("btc/usdt",), 3)


def test_contract_type_and_limit_may_be_absent_and_contract_type_null() -> None:
    assert protocol.parse(b'{"exchange":"okx","symbols":["X"]}') == Subscribe("okx", None, ("X",), 0)
    assert protocol.parse(b'{"exchange":"okx","symbols":["X"],"contract_type":null}') == Subscribe(
        "okx", None, ("X",), 0
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"symbols": None}, "symbols must be a list that is not empty"),
        ({"symbols": []}, "symbols must be a list that is not empty"),
        ({"symbols": "BTCUSDT"}, "symbols must be a list"),
        ({"symbols": ["BTCUSDT", 7]}, "each symbol must be a text"),
        ({"symbols": [""]}, "each symbol must be a text"),
        ({"symbols": ["X" * 65]}, "each symbol must be a text of 1 to 64"),
        ({"symbols": ["A\nB"]}, "each symbol must be a text"),
        ({"symbols": ["BTCUSDT", "BTCUSDT"]}, "Duplicate symbol: BTCUSDT"),
        ({"symbols": [f"S{n}" for n in range(501)]}, "501 symbols are too many; accepted: at most 500"),
        ({"limit": -1}, "limit must be an integer, 0 (for ever) or more"),
        ({"limit": True}, "limit must be an integer"),
        ({"limit": "10"}, "limit must be an integer"),
        ({"limit": 1.5}, "limit must be an integer"),
        ({"limit": None}, "limit must be an integer"),
        ({"limit": 10**30}, "limit must be an integer"),
        ({"exchange": None}, "exchange must be a text"),
        ({"exchange": ""}, "exchange must be a text"),
        ({"exchange": 5}, "exchange must be a text"),
        ({"contract_type": 5}, "contract_type must be a text"),
        ({"contract_type": ""}, "contract_type must be a text"),
        ({"interval": "5min"}, "interval must be the length of a candle, or absent; accepted: 1s, 10s, 1m"),
        ({"interval": 5}, "interval must be the length of a candle"),
        ({"interval": None}, "interval must be the length of a candle"),
        ({"intervals": ["5m"]}, "Unknown field: intervals"),
    ],
)
def test_a_subscription_that_makes_no_sense_is_refused_with_what_is_accepted(
    change: dict[str, object], says: str
) -> None:
    answer = protocol.parse(json.dumps(GOOD | change).encode())
    assert isinstance(answer, Refusal)
    assert says in answer.message
    assert "accepted:" in answer.message


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"exchange":"\xff"}',
        b"[" * 50_000,
        b'{"exchange":' * 5_000,
        b" " * 70_000,
        b'{"exchange":"binance","symbols":["\\ud800"]}',
    ],
)
def test_what_is_no_json_object_is_refused_with_what_is_accepted(payload: bytes) -> None:
    answer = protocol.parse(payload)
    assert isinstance(answer, Refusal)
    assert "accepted:" in answer.message
    json.loads(protocol.error(answer))


def test_a_cache_api_request_is_told_that_it_is_not_served() -> None:
    answer = protocol.parse(b'{"request_id":"1","operation":"get_ticker","params":{}}')
    assert isinstance(answer, Refusal)
    assert answer.message.startswith("The cache API (request_id, operation, params) is not served here; accepted:")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_requests = st.fixed_dictionaries(
    {},
    optional={
        "exchange": _json | st.just("binance"),
        "contract_type": _json | st.just("spot"),
        "symbols": _json | st.lists(st.text() | st.just("BTCUSDT")),
        "limit": _json | st.integers(),
        "interval": _json | st.sampled_from(Interval),
        "other": _json,
    },
)


@given(st.binary() | st.text().map(str.encode) | (_json | _requests).map(lambda v: json.dumps(v).encode()))
def test_no_first_message_makes_it_raise_and_every_answer_can_be_sent(payload: bytes) -> None:
    answer = protocol.parse(payload)
    message = protocol.error(answer) if isinstance(answer, Refusal) else protocol.subscribed(answer)
    assert json.loads(message)["type"] in ("error", "subscribed")


def test_the_confirmation_repeats_what_was_asked() -> None:
    asked = Subscribe("Binance", None, ("btc/usdt",), 0)
    assert json.loads(protocol.subscribed(asked)) == {
        "type": "subscribed",
        "exchange": "Binance",
        "contract_type": None,
        "symbols": ["btc/usdt"],
        "limit": 0,
    }


def test_candles_of_another_length_than_a_minute_say_so_wherever_they_are_told() -> None:
    asked = protocol.parse(json.dumps(GOOD | {"interval": "5m"}).encode())
    assert asked == Subscribe("binance", "spot", ("BTCUSDT", "ETHUSDT"), 0, Interval.M5)
    missing = Gap(BTCUSDT, Channel.CANDLES, Interval.M5, OPEN_NS, OPEN_NS + 5 * MINUTE_NS, None, None, "no", 0)
    quote = QuoteEncoder().quote(candle(interval=Interval.M5), 0)
    for told in (protocol.subscribed(asked), protocol.gap(missing), quote):
        assert json.loads(told)["interval"] == "5m"


def test_an_error_leaves_out_what_does_not_apply() -> None:
    assert protocol.error(Refusal("no")) == b'{"type":"error","message":"no","system_message":"no"}'
    whole = json.loads(protocol.error(Refusal("no", "binance", "spot", ("X",), "Invalid symbol. (code -1121)")))
    assert whole == {
        "type": "error",
        "message": "no",
        "system_message": "no",
        "exchange": "binance",
        "contract_type": "spot",
        "symbols": ["X"],
        "exchange_message": "Invalid symbol. (code -1121)",
    }


def test_a_quote_has_the_documented_fields_order_formats_and_digits() -> None:
    now_ns = 1_763_718_160_000_042_000
    assert QuoteEncoder().quote(candle(), now_ns) == (
        b'{"type":"quote","current_time":"2025-11-21 09:42:40.000042+00:00","timestamp":"2025-02-19T21:20:00+00:00",'
        b'"exchange":"binance","symbol":"BTCUSDT","contract_type":"spot","open":30000.10,"high":30010.00,'
        b'"low":29990.5,"close":30005,"volume":12.34500000,"trade_num":42,"is_closed_candle":false}'
    )


def test_what_the_venue_does_not_say_is_null_and_never_zero() -> None:
    quote = json.loads(QuoteEncoder().quote(candle(base_volume=None, trade_count=None, closed=True), 0))
    assert quote["volume"] is None
    assert quote["trade_num"] is None
    assert quote["is_closed_candle"] is True


amounts = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=0, max_value=10**12)


@given(amounts, st.integers(0, 4 * 10**18), st.integers(0, 6 * 10**7))
def test_a_quote_reads_back_to_the_last_digit(amount: Decimal, now_ns: int, minute: int) -> None:
    encoder = QuoteEncoder()
    quote = json.loads(
        encoder.quote(candle(close=amount, base_volume=amount, open_ns=minute * MINUTE_NS), now_ns),
        parse_float=Decimal,
        parse_int=Decimal,
    )
    assert quote["close"] == amount
    assert quote["volume"] == amount
    assert datetime.fromisoformat(quote["timestamp"]).timestamp() == minute * 60
    assert round(datetime.fromisoformat(quote["current_time"]).timestamp() * 10**6) == now_ns // 1000


def test_numbers_have_no_exponent() -> None:
    quote = QuoteEncoder().quote(candle(open=Decimal("1E+3"), base_volume=Decimal("0E-8")), 0)
    assert b'"open":1000,' in quote
    assert b'"volume":0.00000000,' in quote


def test_the_printed_line_is_the_documented_one() -> None:
    usdm = Instrument(VenueId("binance"), MarketId("usdm"), "ETHUSDT")
    assert protocol.line(candle(instrument=usdm, closed=True)) == (
        "[binance::usdm] ETHUSDT O:30000.10 H:30010.00 L:29990.5 C:30005 V:12.34500000 closed=True"
        " @ 2025-02-19T21:20:00+00:00"
    )


def test_a_gap_says_from_when_to_when() -> None:
    missing = Gap(
        BTCUSDT, Channel.CANDLES, Interval.M1, OPEN_NS, OPEN_NS + MINUTE_NS, None, None, "the venue has none", 0
    )
    assert json.loads(protocol.gap(missing)) == {
        "type": "gap",
        "exchange": "binance",
        "symbol": "BTCUSDT",
        "contract_type": "spot",
        "from_time": "2025-02-19T21:20:00+00:00",
        "to_time": "2025-02-19T21:21:00+00:00",
        "message": "the venue has none",
    }


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_frame_is_what_the_rfc_says(size: int) -> None:
    frame = protocol.text_frame(b"x" * size)
    assert frame[0] == 0x81
    if size < 126:
        assert frame[1] == size
        assert len(frame) == size + 2
    elif size < 65_536:
        assert (frame[1], int.from_bytes(frame[2:4])) == (126, size)
        assert len(frame) == size + 4
    else:
        assert (frame[1], int.from_bytes(frame[2:10])) == (127, size)
        assert len(frame) == size + 10
