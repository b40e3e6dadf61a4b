"""Asynchronous code for callers that are not."""

import asyncio
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from heliograph import blocking
from heliograph.errors import ConfigError


async def _loop() -> asyncio.AbstractEventLoop:
    await asyncio.sleep(0)
    return asyncio.get_running_loop()


async def _broken() -> None:
    raise ValueError("broken")


def test_one_call_leaves_no_thread() -> None:
    before = threading.active_count()
    assert blocking.call(_loop).is_closed()
    with pytest.raises(ValueError, match="broken"):
        blocking.call(_broken)
    assert threading.active_count() == before


def test_all_calls_share_one_loop_whichever_thread_they_come_from() -> None:
    with blocking.Bridge() as bridge, ThreadPoolExecutor(4) as threads:
        loops = [future.result() for future in [threads.submit(bridge.call, _loop) for _ in range(16)]]
        with pytest.raises(ValueError, match="broken"):
            bridge.call(_broken)
        assert {*loops, bridge.call(_loop)} == {loops[0]}
    assert loops[0].is_closed()


async def test_a_call_from_within_a_loop_runs_in_another() -> None:
    assert blocking.call(_loop) is not asyncio.get_running_loop()


def test_a_closed_bridge_refuses_and_what_ran_is_cancelled() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    bridge = blocking.Bridge()

    def call() -> None:
        with pytest.raises(CancelledError):
            bridge.call(endless)

    caller = threading.Thread(target=call)
    caller.start()
    assert begun.wait(10)
    bridge.close()
    assert ended.is_set()
    caller.join(10)
    assert not caller.is_alive()
    bridge.close()
    with pytest.raises(ConfigError, match="closed"):
        bridge.call(_loop)


def test_a_bridge_that_was_never_used_has_no_thread() -> None:
    before = threading.active_count()
    bridge = blocking.Bridge()
    assert threading.active_count() == before
    bridge.close()
