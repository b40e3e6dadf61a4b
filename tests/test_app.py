"""Each setting has an effect of its own, and `.env.example` gives the defaults."""

from pathlib import Path

import msgspec
import pytest

from heliograph.app import Where, at_endpoint, client_limits, feed_settings, open_venues, rest_settings, server_url
from heliograph.config import SECTIONS, BusSettings, ConnectorSettings, RepairSettings, load
from heliograph.errors import ConfigError
from heliograph.model.instrument import SPOT, VenueId
from heliograph.sim.layouts import played
from heliograph.venues import VENUES, luno

EXAMPLE = Path(__file__).parents[1] / ".env.example"

ELSEWHERE = {
    "log_level": "configure_logging in connector-cli",
    "wss_log_level": "configure_logging in connector-wss",
    "wss_host": "open_gateway",
    "wss_port": "open_gateway",
    "wss_health_check_port": "open_gateway",
    "wss_health_check_enabled": "open_gateway",
}
CHANGED = {"log_level": "DEBUG", "wss_log_level": "DEBUG", "wss_host": "::1"}


def test_the_example_file_read_back_gives_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(EXAMPLE.read_text())
    read = [load(section) for section in SECTIONS.values()]
    (tmp_path / ".env").unlink()
    assert read == [load(section) for section in SECTIONS.values()]


@pytest.mark.parametrize("name", [n for n in ConnectorSettings.model_fields if n not in ELSEWHERE])
def test_every_variable_changes_what_runs(name: str) -> None:
    """Those not tried here are where `ELSEWHERE` says, and are tried with the programs."""

    def effects(settings: ConnectorSettings) -> tuple[msgspec.Struct, ...]:
        return feed_settings(settings, load(RepairSettings)), rest_settings(settings), client_limits(settings)

    default = getattr(ConnectorSettings.model_construct(), name)
    assert effects(ConnectorSettings.model_construct(**{name: default + 1})) != effects(
        ConnectorSettings.model_construct()
    )


def test_the_servers_url_takes_the_files_of_its_tls() -> None:
    assert server_url(BusSettings.model_construct()) is None
    plain = BusSettings.model_construct(valkey_url="redis://h")
    assert (server_url(plain), server_url(plain, "redis://other")) == ("redis://h", "redis://other")
    files = {"valkey_ca": Path("/ca"), "valkey_cert": Path("/c"), "valkey_key": Path("/k")}
    secure = BusSettings.model_construct(valkey_url="rediss://h:1?ssl_ca_certs=/mine", **files)
    assert server_url(secure) == "rediss://h:1?ssl_ca_certs=%2Fmine&ssl_certfile=%2Fc&ssl_keyfile=%2Fk"
    assert server_url(secure, server_url(secure)) == server_url(secure)
    with pytest.raises(ConfigError, match="not one of TLS; accepted: rediss"):
        server_url(secure, "redis://h")
    with pytest.raises(ConfigError, match="not one of TLS"):
        server_url(BusSettings.model_construct(**files))


def test_an_endpoint_moves_every_market_and_keeps_the_rest() -> None:
    moved = at_endpoint("http://127.0.0.1:9000/")[VenueId("binance")]
    assert {(m.socket_url, m.rest_url) for m in moved.markets.values()} == {
        ("ws://127.0.0.1:9000", "http://127.0.0.1:9000")
    }
    secure = at_endpoint("https://example.test")[VenueId("binance")]
    assert {m.socket_url for m in secure.markets.values()} == {"wss://example.test"}


async def test_only_the_venue_that_is_needed_is_simulated() -> None:
    async with open_venues(Where(simulated=True), "OKX") as venues:
        (okx,) = venues.values()
        assert okx.name == "okx"
        assert all(market.rest_url.startswith("http://127.0.0.1:") for market in okx.markets.values())
    async with open_venues(Where(simulated=True)) as venues:
        assert set(venues) == set(played()) & set(VENUES)


async def test_a_venue_that_cannot_be_simulated_is_told_with_those_that_can() -> None:
    can = ", ".join(sorted(set(played()) & set(VENUES)))
    with pytest.raises(ConfigError, match=f"Unsupported exchange: mtgox; accepted: {can}$"):
        async with open_venues(Where(simulated=True), "mtgox"):
            pytest.fail("simulated what there is not")


@pytest.mark.parametrize("endpoint", ["", "x", "ftp://x", "http://", "http://a b"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="not an endpoint"):
        at_endpoint(endpoint)


async def test_a_key_from_the_settings_opens_a_venue_and_a_simulated_one_takes_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("heliograph.app.VENUES", {luno.VENUE.name: luno.VENUE})
    name = luno.VENUE.name
    for key, secret in ((None, None), ("keyid", "keysecret")):
        if key and secret:
            monkeypatch.setenv("HELIOGRAPH_LUNO_KEY", key)
            monkeypatch.setenv("HELIOGRAPH_LUNO_SECRET", secret)
        async with open_venues(Where()) as venues:
            assert venues[name].markets[SPOT].needs_credentials is (key is None)
        async with open_venues(Where(endpoint="http://localhost:1")) as venues:
            market = venues[name].markets[SPOT]
            assert (market.socket_url, market.needs_credentials) == ("ws://localhost:1", key is None)
        async with open_venues(Where(simulated=True)) as venues:
            market = venues[name].markets[SPOT]
            assert market.socket_url.startswith("ws://127.0.0.1:")
            assert not market.needs_credentials
