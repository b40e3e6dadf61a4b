"""The fixtures in a suite that is not ours."""

import subprocess
import sys
from pathlib import Path

SUITE = """
import redis

pytest_plugins = ["heliograph.testing.settlement_fixtures"]
made = []


def client(server):
    return redis.Redis(port=server.port, decode_responses=True)


def test_a_server(heliograph_server):
    with client(heliograph_server) as each:
        each.set("k", "v")


def test_the_same_server_for_the_module(heliograph_server):
    with client(heliograph_server) as each:
        assert each.get("k") == "v"


def test_what_is_written_on_the_primary_is_on_the_replica(heliograph_primary_and_replica):
    pair = heliograph_primary_and_replica
    with client(pair.primary) as primary, client(pair.replica) as replica:
        primary.set("k", "mirrored")
        primary.wait(1, 5000)
        assert replica.get("k") == "mirrored"
        assert replica.xadd("local", {"a": "1"})


def test_messages(heliograph_messages):
    made.append(heliograph_messages.credit_request()["request_id"])


def test_other_messages(heliograph_messages):
    assert heliograph_messages.credit_request()["request_id"] not in made
    assert len(made) == 1
"""


def test_a_foreign_suite_uses_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "test_foreign.py").write_text(SUITE)
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio", "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "5 passed" in done.stdout, done.stdout + done.stderr
