"""Parties with keys of their own, as users with the rights of their roles and no more."""

from pathlib import Path
from typing import Any

import pytest
from openoes_core import Configuration, ConfigurationError

from heliograph import blocking
from heliograph.bus.acl_admin import open_admin
from heliograph.bus.acl_roles import Names, Place, Role, Secret, users_of
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.settlement.keyring import Signer
from tests.compat.openoes.handlers import wait_until
from tests.compat.openoes.parties import connected, exchange, settings, wsp

COINS: dict[str, Any] = {"chain": "Bitcoin", "address": "bc1q"}
LINK = Names(link="ledger")


async def _users(server: Server, place: Place) -> None:
    async with open_admin(parse_url(server.url)) as admin:
        for role in (Role.CUSTODIAN, Role.EXCHANGE):
            for user in users_of(role, role, [place], LINK, selectors=admin.selectors):
                await admin.put(user, Secret("secret"))


async def _refused(server: Server) -> list[tuple[bytes, bytes]]:
    async with open_admin(parse_url(server.url)) as admin:
        log = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in await admin.ask("ACL", "LOG")]
        return [(entry[b"username"], entry[b"object"]) for entry in log]


def _party(pair: Pair, directory: Path, role: Role, **settlement: Any) -> Configuration:
    config = settings(pair, directory)
    for section in ("wsp_redis", "replica_redis"):
        config.set(f"{section}.username", str(role))
        config.set(f"{section}.password", "secret")
    for name, value in settlement.items():
        config.set(f"settlement.{name}", value)
    return config


def test_d10_credit_and_settlement_as_the_roles_users(tmp_path: Path) -> None:
    mine, theirs = Signer.generate("custodian-1"), Signer.generate("exchange-1")
    for name, signer in (("custodian", mine), ("exchange", theirs)):
        (tmp_path / f"{name}.pem").write_bytes(signer.pem())
    with Pair() as pair:
        blocking.call(lambda: _users(pair.primary, Place.PRIMARY))
        blocking.call(lambda: _users(pair.replica, Place.REPLICA))
        custodian_config = _party(
            pair,
            tmp_path,
            Role.CUSTODIAN,
            custodian_key=str(tmp_path / "custodian.pem"),
            exchange_public_key=theirs.public().key,
        )
        exchange_config = _party(
            pair,
            tmp_path,
            Role.EXCHANGE,
            exchange_key=str(tmp_path / "exchange.pem"),
            custodian_public_key=mine.public().key,
            custodians=["ledger"],
        )
        with exchange(exchange_config) as party, wsp(custodian_config) as custodian:
            assert custodian.request_credit_increase("u", "BTC", 5, **COINS).new_balance == 5
            wait_until(lambda: party.get_credit_inventory("u", "BTC"))
            party.account_integration.set_account("u", "BTC", 10)
            party.update_account("u", "BTC", 2, "sell")
            (made,) = party.generate_settlement_reports()
            wait_until(custodian.process_settlement_reports)
            assert custodian.confirm_settlement(made.report_id)
            wait_until(made.is_completed)
            assert custodian.get_total_amount("u", "BTC") == 0
        for server in (pair.primary, pair.replica):
            assert blocking.call(lambda server=server: _refused(server)) == []  # type: ignore[misc]


def test_a_key_without_names_or_a_file_is_told(pair: Pair, tmp_path: Path) -> None:
    nameless = _party(pair, tmp_path, Role.EXCHANGE, exchange_key="/nowhere.pem", custodian_public_key="x")
    with connected(nameless), pytest.raises(ConfigurationError, match="custodians are named"), exchange(nameless):
        pass
    nameless.set("settlement.custodians", ["ledger"])
    with pytest.raises(ConfigurationError, match="cannot read"), exchange(nameless):
        pass
