"""The error tree: facts in, one clear line out."""

from heliograph.errors import ConfigError, HeliographError, SettlementError, VenueRejected, VenueUnreachable


def test_a_config_error_says_what_would_be_right() -> None:
    error = ConfigError("unknown venue 'bianace'", ("binance", "okx"))
    assert str(error) == "unknown venue 'bianace'; accepted: binance, okx"
    assert error.accepted == ("binance", "okx")


def test_messages_are_built_from_the_facts() -> None:
    assert str(VenueUnreachable("binance", "timed out", 2.5)) == (
        "binance did not answer: timed out, asks for 2.5 s of silence"
    )
    assert str(VenueRejected("binance", "-1121", "Invalid symbol.")) == "binance refused: Invalid symbol. (code -1121)"
    assert str(SettlementError("OVERDRAWN", "credit would exceed the pledge")).endswith("(OVERDRAWN)")


def test_everything_is_caught_by_the_root() -> None:
    assert issubclass(ConfigError, HeliographError)
    assert issubclass(VenueUnreachable, HeliographError)
