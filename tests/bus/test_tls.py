"""TLS with client certificates on every hop: our own link, redis-py, the embedded server, and replication."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from heliograph.bus.connection import connect
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import Endpoint, Tls, parse_url
from heliograph.bus.groups import Consumer
from heliograph.bus.link import open_link
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Entry, Reader
from heliograph.errors import BusError, ConfigError
from heliograph.sim.authority import Authority
from tests.bus.certificates import certify, with_tls


class World:
    """A server that speaks TLS alone, and parties that it knows, and that it does not."""

    def __init__(self, binary: Path, directory: Path) -> None:
        directory = directory / "a folder"
        directory.mkdir()
        self.authority, others = Authority(), Authority()
        ours = self.authority
        self.binary = binary
        self.server_files = certify(directory, "server", ours)
        self.known = certify(directory, "client", ours)
        self.stranger = certify(directory, "stranger", others, believes=ours)
        self.misled = certify(directory, "misled", ours, believes=others)
        self.server = Server(binary=binary, tls=self.server_files)

    @property
    def plain_url(self) -> str:
        return f"redis://127.0.0.1:{self.server.port}"

    def as_seen_by(self, tls: Tls) -> Endpoint:
        return parse_url(tls.url(self.plain_url))


@pytest.fixture(scope="module")
def world(server_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(with_tls(server_binary), tmp_path_factory.mktemp("tls"))
    with made.server:
        yield made


async def _refusals(endpoint: Endpoint, timeout_s: float = 5.0) -> list[str]:
    """What our link and redis-py say of a server that does not let us in, or that we do not trust."""
    said = []
    with pytest.raises(BusError) as caught:
        (await open_link(endpoint, name="test", timeout_s=timeout_s)).abort("done")
    said.append(str(caught.value))
    with pytest.raises(BusError) as caught:
        async with connect(endpoint, connect_timeout_s=timeout_s, reply_timeout_s=timeout_s):
            pass
    said.append(str(caught.value))
    return said


async def test_who_has_a_certificate_is_served(world: World) -> None:
    endpoint = world.as_seen_by(world.known)
    link = await open_link(endpoint, name="test", timeout_s=5)
    assert await link.request("SET", "k", "x" * 100_000) == b"OK"
    link.abort("done")
    async with connect(endpoint) as client:
        assert len(await client.get("k")) == 100_000
    assert await asyncio.to_thread(world.server.ask, "PING") == b"PONG"


async def test_publisher_reader_and_groups_work_over_it(world: World) -> None:
    endpoint = world.as_seen_by(world.known)
    async with Publisher(endpoint) as publisher, Reader(endpoint, {"test:A:trades": "0"}) as reader:
        publisher.append(await publisher.open_stream("test:A:trades"), b"1")
        await publisher.flush()
        async for entry in reader:
            assert entry.data == b"1"
            break
    consumer = Consumer(endpoint, "test:A:trades", "g", "one")

    async def handle(entry: Entry) -> None:
        assert entry.data == b"1"
        consumer.stop()

    async with asyncio.timeout(10):
        await consumer.run(handle)
    assert consumer.counts.handled == 1


async def test_who_has_none_or_a_strangers_is_refused(world: World) -> None:
    nobody = Tls(ca_file=world.known.ca_file)
    for said in await _refusals(world.as_seen_by(nobody)):
        assert said.startswith(f"rediss://127.0.0.1:{world.server.port}/0: ")
        assert "give a client certificate" in said
    for said in await _refusals(world.as_seen_by(world.stranger)):
        assert "does not know our certificate's authority" in said


async def test_a_server_that_we_do_not_trust_is_told_nothing(world: World) -> None:
    for said in await _refusals(world.as_seen_by(world.misled)):
        assert "its certificate is not of an authority that we trust" in said
    elsewhere = msgspec.structs.replace(world.as_seen_by(world.known), host="127.0.0.2")
    for said in await _refusals(elsewhere):
        assert "127.0.0.2" in said


async def test_plain_text_is_refused_on_either_side(world: World, shared_valkey: Server) -> None:
    for said in await _refusals(parse_url(world.plain_url)):
        assert "rediss://" in said
    for said in await _refusals(parse_url(world.known.url(shared_valkey.url)), 0.2):
        assert "redis://" in said.partition(": ")[2]


async def test_a_server_may_do_without_our_certificate(world: World, tmp_path: Path) -> None:
    tls = certify(tmp_path, "node", world.authority)
    with Server(binary=world.binary, tls=tls, options=[("tls-auth-clients", "no")]) as server:
        endpoint = parse_url(Tls(ca_file=tls.ca_file).url(f"redis://127.0.0.1:{server.port}"))
        async with connect(endpoint) as client:
            assert await client.ping()
        (await open_link(endpoint, name="test", timeout_s=5)).abort("done")


async def test_a_pair_copies_over_it_and_its_siblings_too(server_binary: Path, tmp_path: Path) -> None:
    tls = certify(tmp_path, "node", Authority())
    async with Pair(binary=with_tls(server_binary), siblings=1, tls=tls) as pair:
        async with connect(pair.primary.url) as upper:
            await upper.set("k", "v")
        await pair.linked()
        for server in (pair.replica, *pair.siblings):
            async with connect(server.url) as lower:
                assert await lower.get("k") == b"v"
                assert (await lower.config_get("port"))["port"] == "0"
        await pair.primary.restart()
        await pair.linked()


async def test_a_certificate_is_exchanged_while_the_server_runs(world: World, tmp_path: Path) -> None:
    endpoint = world.as_seen_by(world.known)
    file = world.server_files.certificate_file
    link = await open_link(endpoint, name="test", timeout_s=5)
    before = await _shown(endpoint)
    fresh = certify(tmp_path, "fresh", world.authority)
    assert file is not None
    assert fresh.certificate_file is not None
    os.replace(fresh.certificate_file, file)
    assert await _shown(endpoint) == before
    await link.request("CONFIG", "SET", "tls-cert-file", file)
    assert await _shown(endpoint) != before
    assert await link.request("PING") == b"PONG", "and whoever is connected stays so"
    link.abort("done")


async def _shown(endpoint: Endpoint) -> bytes:
    """The certificate that the server shows."""
    _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.ssl_context())
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return shown


def test_a_build_without_it_says_so(tmp_path: Path) -> None:
    tls = certify(tmp_path, "node", Authority())
    with pytest.raises((BusError, ConfigError), match=r"TLS|tls"):
        Server(tls=tls).start()
