"""`heliograph decode`, called as the command line calls it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from heliograph.cli.decode import decode
from heliograph.errors import ConfigError

KLINE = (
    '{"stream":"bnbbtc@kline_1m","data":{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,'
    '"T":1672515839999,"s":"BNBBTC","i":"1m","f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0009",'
    '"v":"1000","n":100,"x":false,"q":"1.0000","V":"500","Q":"0.500","B":"0"}}}'
)
ACK = '{"result":null,"id":1}'
TRADE = '{"e":"aggTrade","E":9,"a":5,"s":"BTCUSDT","p":"1","q":"2","f":1,"l":1,"T":8,"m":true,"st":1}'


@pytest.fixture
def lines(tmp_path: Path) -> Any:
    def write(*texts: str) -> str:
        path = tmp_path / "frames.jsonl"
        path.write_text("\n".join(texts) + "\n")
        return str(path)

    return write


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_frames_become_json_lines(lines: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert decode("binance", lines(KLINE, ACK, KLINE), "spot") == 0
    first, second = printed(capsys)
    assert first == second
    assert (first["kind"], first["instrument"], first["open"]) == ("candle", "binance:spot:BNBBTC", "0.0010")
    assert first["received_ns"] is None, "a bare frame does not say when it was received"


def test_the_market_is_taken_from_the_frame_where_it_tells(lines: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert decode("binance", lines(TRADE, ACK)) == 0
    assert printed(capsys)[0]["instrument"] == "binance:usdm:BTCUSDT"


def test_a_frame_with_an_event_that_does_not_tell_its_market_needs_the_option(lines: Any) -> None:
    needed = r"line 2: Exchange binance needs a market \(contract_type\); accepted: spot, usdm"
    with pytest.raises(ConfigError, match=needed):
        decode("binance", lines(ACK, KLINE))


def test_an_answer_of_okx_need_not_tell_its_market_since_its_instruments_do(
    lines: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"instId": "BTC-USDT-SWAP", "side": "buy", "sz": "1", "px": "2", "tradeId": "3", "ts": "1747087163557"}]
    answer = {"request": "http_get_trades", "body": {"code": "0", "msg": "", "data": rows}}
    assert decode("okx", lines(json.dumps(answer))) == 0
    assert [row["instrument"] for row in printed(capsys)] == ["okx:swap:BTC-USDT-SWAP"]


def test_the_market_is_taken_from_a_captures_socket(lines: Any, capsys: pytest.CaptureFixture[str]) -> None:
    connect = {"dir": "connect", "url": "wss://dstream.binance.com/stream"}
    frame = {"t": 1.5, "dir": "in", "raw": KLINE.replace("BNBBTC", "BTCUSD_PERP")}
    assert decode("binance", lines(json.dumps(connect), json.dumps(frame))) == 0
    (candle,) = printed(capsys)
    assert (candle["instrument"], candle["contracts"], candle["received_ns"]) == (
        "binance:coinm:BTCUSD_PERP", "1000", 1_500_000_000,
    )  # fmt: skip


def test_frames_that_cannot_be_decoded_are_reported_by_line_and_cost_no_other(
    lines: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decode("binance", lines(KLINE, "pong", "", KLINE[:-9], KLINE.replace('"1000"', '"NaN"'), KLINE), "spot") == 1
    streams = capsys.readouterr()
    assert len(streams.out.splitlines()) == 2
    assert [line.partition(":")[0] for line in streams.err.splitlines()] == ["line 2", "line 4", "line 5"]


def test_recorded_answers_are_decoded_too(lines: Any, capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"request": "GET /fapi/v1/trades?symbol=BTCUSDT", "body": [
        {"id": 1, "price": "2", "qty": "3", "quoteQty": "6", "time": 5, "isBuyerMaker": True}]}  # fmt: skip
    http = {"t": 2, "dir": "http", "url": "https://api.binance.com/api/v3/depth?symbol=BTCUSDT",
            "raw": '{"lastUpdateId":1,"bids":[],"asks":[]}'}  # fmt: skip
    assert decode("binance", lines(json.dumps(answer), json.dumps(http))) == 0
    trade, book = printed(capsys)
    assert (trade["instrument"], book["instrument"]) == ("binance:usdm:BTCUSDT", "binance:spot:BTCUSDT")


def test_a_dash_reads_the_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Stdin:
        buffer = io.BytesIO(KLINE.encode() + b"\nnonsense")

    monkeypatch.setattr("sys.stdin", Stdin())
    assert decode("binance", "-", "spot") == 1
    streams = capsys.readouterr()
    assert len(streams.out.splitlines()) == 1
    assert streams.err.startswith("line 2: ")


@pytest.mark.parametrize(("venue", "market"), [("nowhere", None), ("binance", "moon")])
def test_an_unknown_venue_or_market_says_what_is_accepted(lines: Any, venue: str, market: str | None) -> None:
    with pytest.raises(ConfigError, match="accepted: "):
        decode(venue, lines(ACK), market)


def test_a_file_that_is_not_there_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        decode("binance", str(tmp_path / "absent"), "spot")


def test_a_closed_standard_input_is_a_mistake_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ConfigError, match="the standard input is closed"):
        decode("binance", "-", "spot")


def test_a_captures_line_without_a_direction_is_a_frame_that_came_in(
    lines: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decode("binance", lines(json.dumps({"t": 1.5, "raw": KLINE})), "spot") == 0
    assert printed(capsys)[0]["received_ns"] == 1_500_000_000
