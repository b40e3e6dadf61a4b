import pytest

from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import parse_url
from heliograph.bus.hold import Hold
from heliograph.bus.link import last_id, open_link
from heliograph.errors import BusError


def test_without_leases_there_is_no_limit() -> None:
    hold = Hold(leased=False, resumed=lambda: None)
    assert not hold.lapsed(1e9)
    hold.linked(5)
    assert not hold.lapsed(1e9)


def test_a_lease_ends_on_our_own_clock_and_with_the_connection() -> None:
    resumed: list[int] = []
    linked: list[int] = []
    hold = Hold(leased=True, resumed=lambda: resumed.append(1))
    hold.when_linked(lambda: linked.append(1))
    assert hold.lapsed(0)
    hold.until(10, 4)
    assert resumed == [1]
    assert not hold.lapsed(9.9)
    assert hold.lapsed(10)
    hold.linked(5)
    assert linked == [1]
    assert hold.lapsed(9.9)
    hold.until(10, 4.9)
    assert hold.lapsed(9.9), "asked for before the connect"
    hold.until(11, 5)
    assert not hold.lapsed(10.9)


@pytest.mark.parametrize("content", ["none", "empty", "entries"])
async def test_an_opened_stream_takes_no_id_from_before(any_server: Server, content: str) -> None:
    hold = Hold(leased=True, resumed=lambda: None)
    link = await open_link(parse_url(any_server.url), name="test", timeout_s=5)
    if content == "entries":
        await link.request("XADD", "s", "7-1", "data", "x")
    elif content == "empty":
        await link.request("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    assert await hold.open(link, "s", 10) == (11, 0)
    assert await last_id(link, "s") == (11, 0)
    assert await link.request("XLEN", "s") == (content == "entries")
    with pytest.raises(BusError, match="equal or smaller"):
        await link.request("XADD", "s", "10-99999", "data", "late")
    await link.request("XADD", "s", "20-0", "data", "x")
    assert await hold.open(link, "s", 10) == (21, 0), "and none that was counted on from the last one"
    link.abort("done")
