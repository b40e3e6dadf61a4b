"""Settlement by TLS alone: both parties and all servers show certificates of one authority; nobody else is heard."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from heliograph.bus.endpoint import Endpoint, Tls, parse_url
from heliograph.errors import BusError
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.exchange import Exchange, accept
from heliograph.settlement.passage import Passage
from heliograph.sim.authority import Authority
from tests.bus.certificates import certify, expire, with_tls
from tests.settlement.byhand import eventually
from tests.settlement.rights import ROLES, World, secured
from tests.settlement.whole_day import live_a_day


def shows(directory: Path, authority: Authority, what: str) -> Tls | None:
    """Return the files of a party that the servers do not let in; None for one that speaks no TLS."""
    known = certify(directory, "known", authority)
    if what == "nothing":
        return Tls(ca_file=known.ca_file)
    if what == "another authority's":
        return certify(directory, "stranger", Authority(), believes=authority)
    return expire(known, authority) if what == "an old one" else None


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def world(server_binary: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("certificates")
    parties = {role: certify(directory, role.value, authority) for role in ROLES}
    with secured(with_tls(server_binary), certify(directory, "server", authority), parties) as world:
        yield world


async def test_a_whole_day_by_tls_alone_while_both_servers_start_again(world: World, tmp_path: Path) -> None:
    await world.empty()
    pair, paid = world.pair, list[Passage]()

    async def pay(passage: Passage) -> None:
        paid.append(passage)

    async def both_start_again() -> None:
        for server in (pair.primary, pair.replica):
            await server.restart()
            await pair.linked()

    async with (
        Custodian(world.custodian(), payer=pay) as custodian,
        Exchange(world.exchange(tmp_path), accept) as exchange,
    ):
        await live_a_day(custodian, exchange, paid, both_start_again)
        assert (await custodian.audit()).clean
    assert await world.denied() == set()
    for server in world.servers:
        assert server.ask("CONFIG", "GET", "port")[1] == b"0", "there is no other way in"
        for setting in ("tls-auth-clients", "tls-replication"):
            assert server.ask("CONFIG", "GET", setting)[1] == b"yes"


REFUSALS = {
    "nothing": "give a client certificate",
    "another authority's": "does not know our certificate's authority",
    "an old one": "our certificate has expired",
    "plain text": "rediss://",
}


@pytest.mark.parametrize("shown", REFUSALS)
async def test_who_shows_nothing_or_something_else_is_refused_and_told_why(
    world: World, authority: Authority, tmp_path: Path, shown: str
) -> None:
    files = shows(tmp_path, authority, shown)

    def strange(endpoint: Endpoint) -> Endpoint:
        plain = f"redis://127.0.0.1:{endpoint.port}/0"
        found = parse_url(plain if files is None else files.url(plain))
        return msgspec.structs.replace(found, username=endpoint.username, password=endpoint.password)

    known = world.custodian()
    with pytest.raises(BusError) as refused:
        async with Custodian(msgspec.structs.replace(known, primary=strange(known.primary))):
            pass
    assert REFUSALS[shown] in str(refused.value)
    settings = world.exchange(tmp_path)
    with capture_logs() as logs:
        async with Exchange(msgspec.structs.replace(settings, replica=strange(settings.replica)), accept):

            async def told() -> bool:
                return any(REFUSALS[shown] in line.get("error", "") for line in logs)

            await eventually(told)
