"""One measured run, in a process of its own."""

import argparse
import json
import os
import time

import uvloop

from bench import bare, ours


def main() -> None:
    """Run once and print as JSON when it was finished, and the CPU seconds; or when each entry was acknowledged."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=("bare", "ours"))
    parser.add_argument("what", choices=("objects", "entries", "paced"))
    parser.add_argument("kind")
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("valkey_port", type=int)
    parser.add_argument("--cpu", type=int, default=None)
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    module = bare if arguments.side == "bare" else ours
    if arguments.what == "paced":
        told = uvloop.run(module.paced(arguments.kind, arguments.port, arguments.count, arguments.valkey_port))
        print(json.dumps(told))
        return
    if arguments.what == "objects":
        run = module.objects(arguments.kind, arguments.port, arguments.count)
    else:
        run = module.entries(arguments.kind, arguments.port, arguments.count, arguments.valkey_port)
    cpu_before = time.process_time()
    finished = uvloop.run(run)
    print(json.dumps({"finished": finished, "cpu_s": time.process_time() - cpu_before}))


if __name__ == "__main__":
    main()
