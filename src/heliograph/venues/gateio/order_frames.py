"""The shapes of Gate's private frames and answers, in Gate's own words.

Sources: as in `orders`. Quantities and prices are numbers, not checked yet.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec

from heliograph.model.numbers import ZERO
from heliograph.venues.fields import NOTHING, Ms, Seconds


class RawSpotOrder(msgspec.Struct):
    """An order of spot; a market buy's `amount` and `left` are in quote. Times are milliseconds, as text or number."""

    id: str
    currency_pair: str
    side: Literal["buy", "sell"]
    amount: Decimal
    left: Decimal
    price: Decimal = ZERO
    type: str = "limit"
    text: str = ""
    status: str = ""
    event: str = ""
    finish_as: str = ""
    filled_amount: Decimal | None = None
    update_time_ms: Decimal | None = None


class RawFuturesOrder(msgspec.Struct):
    """An order of contracts: the sign of `size` is its side, and a price of zero is none."""

    id: int
    contract: str
    size: Decimal
    left: Decimal
    price: Decimal
    status: str = ""
    text: str = ""
    finish_as: str = ""
    is_liq: bool = False
    finish_time_ms: Ms = 0


class RawSpotFill(msgspec.Struct):
    """A fill of spot, of a frame or an answer. What is paid is in one of three currencies."""

    id: int | str
    order_id: str
    currency_pair: str
    side: Literal["buy", "sell"]
    amount: Decimal
    price: Decimal
    create_time_ms: Decimal
    role: str = ""
    text: str = ""
    fee: Decimal = ZERO
    fee_currency: str | None = None
    gt_fee: Decimal = ZERO
    point_fee: Decimal = ZERO


class RawFuturesFill(msgspec.Struct):
    """A fill of contracts, which pays in what the market settles in, or in points."""

    id: int | str
    order_id: int | str
    contract: str
    size: Decimal
    price: Decimal
    create_time_ms: Decimal
    role: str = ""
    text: str = ""
    fee: Decimal = ZERO
    point_fee: Decimal = ZERO


class RawSpotBalance(msgspec.Struct):
    """What spot holds of a currency. Answers say `locked`, frames `freeze` and the rest."""

    currency: str
    available: Decimal
    freeze: Decimal | None = None
    locked: Decimal | None = None
    total: Decimal | None = None
    timestamp_ms: Decimal | None = None


class RawFuturesBalance(msgspec.Struct):
    """What contracts' account holds after a change. Frames before 2023 have no currency, but a contract in `text`."""

    balance: Decimal
    text: str = ""
    currency: str = ""
    time_ms: Ms | None = None


class RawFuturesAccount(msgspec.Struct):
    """An answer of contracts' account."""

    currency: str
    total: Decimal
    available: Decimal
    position_margin: Decimal
    order_margin: Decimal


class RawResult(msgspec.Struct):
    """What an answer on the socket for orders holds: an order, or nothing of use where there is a refusal."""

    result: msgspec.Raw = NOTHING
    errs: msgspec.Raw = NOTHING


class RawHeader(msgspec.Struct):
    """Of an answer on the socket for orders: to what, and HTTP's status as text."""

    channel: str
    status: str = ""


class RawPrivate(msgspec.Struct):
    """A frame, as far as frames of all channels are alike."""

    channel: str = ""
    event: str | None = None
    result: msgspec.Raw = NOTHING
    header: RawHeader | None = None
    ack: bool = False
    data: RawResult | None = None
    time_ms: Ms | None = None
    time: Seconds | None = None


class RawPlaced(msgspec.Struct):
    """What became of one order; only those of a batch say whether they succeeded."""

    id: str | int | None = None
    text: str = ""
    succeeded: bool = True
    label: str = ""
    message: str = ""


decode_frame: Final = msgspec.json.Decoder(RawPrivate).decode
decode_spot_orders: Final = msgspec.json.Decoder(RawSpotOrder | list[RawSpotOrder]).decode
decode_futures_orders: Final = msgspec.json.Decoder(RawFuturesOrder | list[RawFuturesOrder]).decode
decode_spot_fills: Final = msgspec.json.Decoder(list[RawSpotFill]).decode
decode_futures_fills: Final = msgspec.json.Decoder(list[RawFuturesFill]).decode
decode_spot_balances: Final = msgspec.json.Decoder(list[RawSpotBalance]).decode
decode_futures_balances: Final = msgspec.json.Decoder(list[RawFuturesBalance]).decode
decode_futures_account: Final = msgspec.json.Decoder(RawFuturesAccount).decode
decode_placed: Final = msgspec.json.Decoder(RawPlaced | list[RawPlaced]).decode
