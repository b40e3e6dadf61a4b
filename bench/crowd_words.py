"""What five venues say of 200 instruments each, as far as a benchmark needs it: acknowledgements, trades, bars."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

MINUTE_MS: Final = 60_000
INSTRUMENTS_PER_VENUE: Final = 200
CODES: Final = tuple(f"C{number:04}" for number in range(INSTRUMENTS_PER_VENUE))
_FIRST_ID: Final = 15_683_430

Topic = tuple[str, str]
"""`trade` or `bar`, and the venue's symbol."""


class Said(NamedTuple):
    """What a venue makes of a client's message: its answers, and the streams that it begins to say."""

    answers: tuple[bytes, ...]
    topics: tuple[Topic, ...]


class Words(NamedTuple):
    """One venue's words."""

    market: str
    symbol: Callable[[str], str]
    hear: Callable[[Any], Said]
    trade: Callable[[str, int, int], str]
    """Of a symbol, the number of the trade, and the time in milliseconds."""
    bar: Callable[[str, int, int, bool], str]
    """Of a symbol, when it opened, the time, and whether it is closed."""


def _text(**content: object) -> bytes:
    return json.dumps(content).encode()


def _price(symbol: str, number: int) -> str:
    return f"{100 + sum(symbol.encode()) % 900}.{number % 97:02}"


def _binance(message: Any) -> Said:
    topics = []
    for name in message["params"]:
        symbol, _, kind = name.partition("@")
        topics.append(("trade" if kind == "aggTrade" else "bar", symbol.upper()))
    return Said((_text(result=None, id=message["id"]),), tuple(topics))


def _binance_trade(symbol: str, number: int, now_ms: int) -> str:
    return (
        f'{{"stream":"{symbol.lower()}@aggTrade","data":{{"e":"aggTrade","E":{now_ms},"s":"{symbol}",'
        f'"a":{_FIRST_ID + number},"p":"{_price(symbol, number)}","q":"0.12300000","f":{number},"l":{number},'
        f'"T":{now_ms},"m":true,"M":true}}}}'
    )


def _binance_bar(symbol: str, open_ms: int, now_ms: int, closed: bool) -> str:
    price = _price(symbol, now_ms // 1000)
    return (
        f'{{"stream":"{symbol.lower()}@kline_1m","data":{{"e":"kline","E":{now_ms},"s":"{symbol}","k":{{"t":{open_ms},'
        f'"T":{open_ms + MINUTE_MS - 1},"s":"{symbol}","i":"1m","f":1,"L":2,"o":"{price}","c":"{price}","h":"{price}",'
        f'"l":"{price}","v":"12.50000000","n":37,"x":{str(closed).lower()},"q":"1250.00000000","V":"6.00000000",'
        f'"Q":"600.00000000","B":"0"}}}}}}'
    )


def _okx(message: Any) -> Said:
    answers = tuple(_text(event="subscribe", id=message["id"], arg=arg, connId="a4d3ae55") for arg in message["args"])
    return Said(answers, tuple(("trade" if "trades" in a["channel"] else "bar", a["instId"]) for a in message["args"]))


def _okx_trade(symbol: str, number: int, now_ms: int) -> str:
    return (
        f'{{"arg":{{"channel":"trades-all","instId":"{symbol}"}},"data":[{{"instId":"{symbol}",'
        f'"tradeId":"{_FIRST_ID + number}","px":"{_price(symbol, number)}","sz":"0.123","side":"buy",'
        f'"ts":"{now_ms}"}}]}}'
    )


def _okx_bar(symbol: str, open_ms: int, now_ms: int, closed: bool) -> str:
    price = _price(symbol, now_ms // 1000)
    return (
        f'{{"arg":{{"channel":"candle1m","instId":"{symbol}"}},"data":[["{open_ms}","{price}","{price}","{price}",'
        f'"{price}","12.5","1250","1250","{int(closed)}"]]}}'
    )


def _bybit(message: Any) -> Said:
    if message["op"] == "ping":
        return Said((_text(success=True, ret_msg="pong", conn_id="c", req_id="", op="ping"),), ())
    answer = _text(success=True, ret_msg="", conn_id="c", req_id=message["req_id"], op="subscribe")
    topics = [("trade" if "Trade" in topic else "bar", topic.rpartition(".")[2]) for topic in message["args"]]
    return Said((answer,), tuple(topics))


def _bybit_trade(symbol: str, number: int, now_ms: int) -> str:
    return (
        f'{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{now_ms},"data":[{{"T":{now_ms},"s":"{symbol}",'
        f'"S":"Buy","v":"0.123","p":"{_price(symbol, number)}","i":"{_FIRST_ID + number}","BT":false}}]}}'
    )


def _bybit_bar(symbol: str, open_ms: int, now_ms: int, closed: bool) -> str:
    price = _price(symbol, now_ms // 1000)
    return (
        f'{{"topic":"kline.1.{symbol}","data":[{{"start":{open_ms},"end":{open_ms + MINUTE_MS - 1},"interval":"1",'
        f'"open":"{price}","close":"{price}","high":"{price}","low":"{price}","volume":"12.5","turnover":"1250",'
        f'"confirm":{str(closed).lower()},"timestamp":{now_ms}}}],"ts":{now_ms},"type":"snapshot"}}'
    )


def _gate(message: Any) -> Said:
    channel = message["channel"]
    if channel.endswith("ping"):
        return Said((_text(time=message["time"], channel="spot.pong", event="", result=None),), ())
    answer = _text(
        time=message["time"], id=message["id"], channel=channel, event="subscribe", result={"status": "success"}
    )
    return Said((answer,), (("trade" if "trades" in channel else "bar", message["payload"][-1]),))


def _gate_trade(symbol: str, number: int, now_ms: int) -> str:
    return (
        f'{{"time":{now_ms // 1000},"time_ms":{now_ms},"channel":"spot.trades","event":"update","result":{{'
        f'"id":{_FIRST_ID + number},"id_market":{number + 1},"create_time":{now_ms // 1000},'
        f'"create_time_ms":"{now_ms}.653000","side":"sell","currency_pair":"{symbol}","amount":"0.123",'
        f'"price":"{_price(symbol, number)}","range":"{number + 1}-{number + 1}"}}}}'
    )


def _gate_bar(symbol: str, open_ms: int, now_ms: int, closed: bool) -> str:
    price = _price(symbol, now_ms // 1000)
    return (
        f'{{"time":{now_ms // 1000},"time_ms":{now_ms},"channel":"spot.candlesticks","event":"update","result":{{'
        f'"t":"{open_ms // 1000}","v":"1250","c":"{price}","h":"{price}","l":"{price}","o":"{price}",'
        f'"n":"1m_{symbol}","a":"12.5","w":{str(closed).lower()}}}}}'
    )


def _hyperliquid(message: Any) -> Said:
    if message["method"] == "ping":
        return Said((_text(channel="pong"),), ())
    stream = message["subscription"]
    answer = _text(channel="subscriptionResponse", data={"method": "subscribe", "subscription": stream})
    return Said((answer,), (("trade" if stream["type"] == "trades" else "bar", stream["coin"]),))


def _hyperliquid_trade(symbol: str, number: int, now_ms: int) -> str:
    return (
        f'{{"channel":"trades","data":[{{"coin":"{symbol}","side":"B","px":"{_price(symbol, number)}","sz":"0.123",'
        f'"time":{now_ms},"hash":"0x40d1","tid":{_FIRST_ID + number},"users":["0x01","0x02"]}}]}}'
    )


def _hyperliquid_bar(symbol: str, open_ms: int, now_ms: int, closed: bool) -> str:
    del closed  # The venue does not say.
    price = _price(symbol, now_ms // 1000)
    return (
        f'{{"channel":"candle","data":{{"t":{open_ms},"T":{open_ms + MINUTE_MS - 1},"s":"{symbol}","i":"1m",'
        f'"o":"{price}","c":"{price}","h":"{price}","l":"{price}","v":"12.5","n":37}}}}'
    )


def _joined(separator: str) -> Callable[[str], str]:
    return lambda code: f"{code}{separator}USDT"


WORDS: Final[Mapping[str, Words]] = {
    "binance": Words("spot", _joined(""), _binance, _binance_trade, _binance_bar),
    "okx": Words("spot", _joined("-"), _okx, _okx_trade, _okx_bar),
    "bybit": Words("spot", _joined(""), _bybit, _bybit_trade, _bybit_bar),
    "gateio": Words("spot", _joined("_"), _gate, _gate_trade, _gate_bar),
    "hyperliquid": Words("usdm", str, _hyperliquid, _hyperliquid_trade, _hyperliquid_bar),
}


class Stream:
    """What one stream of one socket says, one frame after another."""

    def __init__(self, words: Words, topic: Topic) -> None:
        self._words = words
        self._kind, self._symbol = topic
        self._number = 0
        self._open_ms: int | None = None

    def frames(self, now_ms: int) -> Iterator[str]:
        """Yield what there is to say: one frame, or two where a bar has ended."""
        if self._kind == "trade":
            yield self._words.trade(self._symbol, self._number, now_ms)
            self._number += 1
            return
        open_ms = now_ms - now_ms % MINUTE_MS
        if self._open_ms is not None and self._open_ms != open_ms:
            yield self._words.bar(self._symbol, self._open_ms, now_ms, True)
        self._open_ms = open_ms
        yield self._words.bar(self._symbol, open_ms, now_ms, False)
