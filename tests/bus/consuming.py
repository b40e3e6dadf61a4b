"""A consumer as a process of its own, for tests that kill it: URL STREAM GROUP NAME SETTINGS.

It notes each entry that it is given in the list `<stream>:given:<name>`. Then, as the settings' `then` says, it waits
for ever (`hang`), dies of an entry that is `poison` (`die`), or stands still at its first entry until it is woken by
SIGCONT (`sleep`). The other settings are its `Terms`.
"""

import asyncio
import json
import os
import signal
import sys

from heliograph.bus.endpoint import parse_url
from heliograph.bus.groups import Consumer, Terms
from heliograph.bus.link import open_link
from heliograph.bus.reader import Entry


async def main(url: str, stream: str, group: str, name: str, settings: str) -> None:
    asked = json.loads(settings)
    then = asked.pop("then")
    consumer = Consumer(url, stream, group, name, terms=Terms(**asked))
    link = await open_link(parse_url(url), name="notes", timeout_s=5)

    async def handle(entry: Entry) -> None:
        await link.request("RPUSH", f"{stream}:given:{name}", entry.data)
        if then == "die" and entry.data == b"poison":
            os.kill(os.getpid(), signal.SIGKILL)
        if then == "sleep" and entry.data == b"0":
            os.kill(os.getpid(), signal.SIGSTOP)
        if then == "hang":
            await asyncio.Event().wait()

    await consumer.run(handle)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
