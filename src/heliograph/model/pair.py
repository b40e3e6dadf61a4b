"""The symbol that streams carry, which no two instruments of one market share."""

import re
from typing import Final

# Part of the wire: whoever adds one renames the streams of that asset's pairs. The longest that fits is meant.
_QUOTES: Final = (
    "AUD|BNB|BRL|BTC|BUSD|DAI|ETH|EUR|FDUSD|GBP|IDR|JPY|KRW|MXN|MYR|NGN|PLN|RUB|SGD|TRY|TUSD|UAH|UGX|USD|USD1|USDC|USDE"
    "|USDH|USDS|USDT|XBT|ZAR"
)
_REST: Final = "SWAP|PERP|[0-9]{8}|[0-9]{6}|[0-9]{1,2}[A-Z]{3}[0-9]{2}|"
_READING: Final = re.compile(rf"(\w+?)({_QUOTES})({_REST})")
_SEPARATOR: Final = re.compile("[-_/]")
_UNSAFE: Final = re.compile(r"[:%\s]")


def pair_of(name: str) -> str:
    """Return the symbol that streams carry for a venue's own name of an instrument.

    It is the name without its separators (`-`, `_` and `/`): `BTCUSDT` of `BTCUSDT`, `BTC-USDT` and `BTC_USDT`,
    `BTCUSDPERP` of `BTCUSD_PERP`. That is so only for names in upper case that the separators can be put back into: a
    pair whose quote asset is well known, with or without a day, `PERP` or `SWAP` behind it. Every other name stays as
    it is, to the letter, but for `:` and `%`, which become `%3A` and `%25`, and white space: `kPEPE` beside `KPEPE`,
    `@107`, `xyz%3AXYZ100` beside `XYZ100`, `A_BC` beside `AB_C`.

    So two names share a symbol only if they differ in nothing but which separators they have. No venue has such names
    in one market; a `Directory` refuses them if one ever does.
    """
    parts = _SEPARATOR.split(name)
    joined = "".join(parts)
    if joined.isalnum() and joined == joined.upper() and (len(parts) == 1 or _reads_back(parts, joined)):
        return joined
    return _UNSAFE.sub(_escape, name)


def _reads_back(parts: list[str], joined: str) -> bool:
    reading = _READING.fullmatch(joined)
    if reading is None:
        return False
    base, quote, rest = reading.groups()
    with_rest = ([base, quote, rest], [base + quote, rest])
    return parts in with_rest if rest else parts == [base, quote]


def _escape(unsafe: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in unsafe[0].encode())
