from heliograph.model.instrument import SPOT
from heliograph.venues.luno.control import market_of, pair_of_path


def test_the_path_names_the_pair() -> None:
    for path in ("/api/1/stream/XBTZAR", "wss://ws.luno.com/api/1/stream/XBTZAR"):
        found = pair_of_path(path)
        assert found is not None
        assert found.venue_symbol == "XBTZAR"
    for path in ("", "/api/1/userstream", "/api/1/stream/", "/api/1/stream/a/b"):
        assert pair_of_path(path) is None


def test_there_is_one_market() -> None:
    assert market_of(None, b'""') == market_of("/api/1/ticker", b"{}") == SPOT
