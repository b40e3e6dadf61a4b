from heliograph.bus.cluster_reader import ClusterReader
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_cluster import cluster
from heliograph.bus.endpoint import parse_url
from heliograph.bus.opening import is_cluster, open_publisher, open_reader
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.bus.scatter import Scatter


async def test_a_server_is_taken_for_what_it_says_it_is(any_server: Server) -> None:
    assert not await is_cluster(parse_url(any_server.url))
    async with open_publisher(any_server.url, leased=True) as publisher, open_reader(any_server.url, {}) as reader:
        assert isinstance(publisher, Publisher)
        assert isinstance(reader, Reader)


async def test_so_is_a_cluster_by_whichever_url() -> None:
    async with cluster() as servers:
        for url in (servers.url, servers.servers[5].url):
            assert await is_cluster(parse_url(url))
            async with open_publisher(url) as publisher, open_reader(url, {"k": "$"}) as reader:
                assert isinstance(publisher, Scatter)
                assert isinstance(reader, ClusterReader)
                publisher.append(await publisher.open_stream("k"), b"1")
                async for entry in reader:
                    assert entry.data == b"1"
                    break
