import pytest

from heliograph.errors import DecodeError
from heliograph.model import demand


def test_a_demand_reads_back_and_a_malformed_one_is_refused() -> None:
    good = (
        b'{"gateway":"g","exchange":"binance","market":"spot","symbols":["X"],"channel":"candles","interval":"1m",'
        b'"until_ms":1}'
    )
    assert demand.encode(demand.decode(good)) == good
    for bad in (
        b"",
        b"[]",
        good.replace(b'"1m"', b'"7m"'),
        good.replace(b'"1m"', b"null"),
        good.replace(b'["X"]', b"[" + b",".join([b'"X"'] * 1001) + b"]"),
    ):
        with pytest.raises(DecodeError):
            demand.decode(bad)
