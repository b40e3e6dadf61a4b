"""Realistic Binance spot frames, generated before anything is timed.

Field order, lengths and digits follow recorded frames. No two frames are equal, bars close on the minute, trade ids
have no holes, so that no safety feature has a reason to drop one.
"""

import random
from collections.abc import Iterator
from typing import Final

_BASES = (
    "BTC ETH BNB SOL XRP ADA DOGE TRX DOT LTC LINK AVAX ATOM UNI ETC XLM FIL APT ARB OP NEAR ICP HBAR VET ALGO "
    "AAVE GRT SAND MANA AXS EOS XTZ THETA FTM EGLD FLOW CHZ CRV SNX LDO INJ SUI SEI TIA RUNE IMX STX MKR COMP ZEC"
)
SYMBOLS: Final = tuple(f"{base}USDT" for base in _BASES.split())
START_MS: Final = 1_786_539_480_000
MINUTE_MS: Final = 60_000
UPDATES_PER_BAR: Final = 30  # one each two seconds, as the venue pushes


def klines(count: int) -> Iterator[bytes]:
    """Yield combined-stream kline frames: every symbol's bar grows and closes, then the next opens."""
    rng = random.Random(1)
    prices = {s: rng.uniform(0.5, 60_000) for s in SYMBOLS}
    step = 0
    produced = 0
    while produced < count:
        bar, update = divmod(step, UPDATES_PER_BAR)
        open_ms = START_MS + bar * MINUTE_MS
        closed = update == UPDATES_PER_BAR - 1
        event_ms = open_ms + (MINUTE_MS + 13 if closed else update * 2_000 + 17)
        for symbol in SYMBOLS:
            price = prices[symbol]
            trades = (update + 1) * 37
            volume = trades * 0.0123
            first = 6_569_906_771 + bar * 10_000
            yield (
                f'{{"stream":"{symbol.lower()}@kline_1m","data":{{"e":"kline","E":{event_ms},"s":"{symbol}","k":{{'
                f'"t":{open_ms},"T":{open_ms + MINUTE_MS - 1},"s":"{symbol}","i":"1m","f":{first},"L":{first + trades},'
                f'"o":"{price:.8f}","c":"{price * 1.0001:.8f}","h":"{price * 1.0002:.8f}","l":"{price * 0.9999:.8f}",'
                f'"v":"{volume:.8f}","n":{trades},"x":{"true" if closed else "false"},"q":"{volume * price:.8f}",'
                f'"V":"{volume / 2:.8f}","Q":"{volume * price / 2:.8f}","B":"0"}}}}}}'
            ).encode()
            produced += 1
            if produced == count:
                return
        step += 1


def trades(count: int) -> Iterator[bytes]:
    """Yield combined-stream aggTrade frames, ids without holes in each symbol."""
    rng = random.Random(2)
    prices = {s: rng.uniform(0.5, 60_000) for s in SYMBOLS}
    for i in range(count):
        number, which = divmod(i, len(SYMBOLS))
        symbol = SYMBOLS[which]
        stamp = START_MS + number * 7
        fill = 19_862_790 + number
        yield (
            f'{{"stream":"{symbol.lower()}@aggTrade","data":{{"e":"aggTrade","E":{stamp + 1},"s":"{symbol}",'
            f'"a":{15_683_430 + number},"p":"{prices[symbol] * (1 + number % 9 / 10_000):.8f}",'
            f'"q":"{0.001 * (i % 97 + 1):.8f}",'
            f'"f":{fill},"l":{fill},"T":{stamp},"m":{"true" if i % 2 else "false"},"M":true}}}}'
        ).encode()


def book_tops(count: int) -> Iterator[bytes]:
    """Yield combined-stream bookTicker frames, update ids rising, after each symbol's day, which a ticker needs."""
    rng = random.Random(3)
    prices = {s: rng.uniform(0.5, 60_000) for s in SYMBOLS}
    for symbol in SYMBOLS:
        price = f"{prices[symbol]:.8f}"
        yield (
            f'{{"stream":"{symbol.lower()}@ticker","data":{{"e":"24hrTicker","E":{START_MS},"s":"{symbol}","p":"0.00000000",'
            f'"P":"0.000","w":"{price}","x":"{price}","c":"{price}","Q":"1.00000000","b":"{price}","B":"1.00000000",'
            f'"a":"{price}","A":"1.00000000","o":"{price}","h":"{price}","l":"{price}","v":"1.00000000","q":"{price}",'
            f'"O":{START_MS - 86_400_000},"C":{START_MS},"F":1,"L":2,"n":2}}}}'
        ).encode()
    for i in range(count - len(SYMBOLS)):
        number, which = divmod(i, len(SYMBOLS))
        symbol = SYMBOLS[which]
        price = prices[symbol] * (1 + number % 11 / 10_000)
        yield (
            f'{{"stream":"{symbol.lower()}@bookTicker","data":{{"u":{499_869_768 + number},"s":"{symbol}",'
            f'"b":"{price:.8f}","B":"{i % 89 + 0.5:.8f}","a":"{price * 1.0001:.8f}","A":"{i % 83 + 0.25:.8f}"}}}}'
        ).encode()


def events(kind: str, count: int) -> int:
    """Return how many events a reader makes of `count` frames: the day's statistics alone are no ticker."""
    return count - len(SYMBOLS) if kind == "book_top" else count


KINDS: Final = {"candle": klines, "trade": trades, "book_top": book_tops}
