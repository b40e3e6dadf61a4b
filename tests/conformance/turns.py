"""Lets the clients of one simulated venue open their sockets one after another, within what it allows an address.

The clients of a module share an address, as two programs on one machine do at the venue; what is opened beyond the
venue's budget is turned away there too. Each process finds the budget, and what has been opened, in the file that TURNS
names. A turn is held until its socket is open, so that no delay on the way makes two of them meet at the venue.
"""

import asyncio
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path


def write_budget(path: Path, connects_max: int, window_s: float) -> None:
    path.write_text(json.dumps({"connects_max": connects_max, "window_s": window_s, "opened_s": []}))


@contextmanager
def turn() -> Iterator[None]:
    """Wait until one more socket may be opened, which has to be open, or refused, when the block ends."""
    with Path(os.environ["TURNS"]).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        budget = json.load(file)
        opened_s = budget["opened_s"][-budget["connects_max"] :]
        if len(opened_s) == budget["connects_max"]:
            time.sleep(max(0.0, opened_s[0] + budget["window_s"] - time.monotonic()) + 0.01)
        try:
            yield
        finally:
            # The venue may see it as late as this, so from here its window is counted.
            budget["opened_s"] = [*opened_s, time.monotonic()]
            file.seek(0)
            file.truncate()
            json.dump(budget, file)


@asynccontextmanager
async def awaited_turn() -> AsyncIterator[None]:
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, turn())
        yield
