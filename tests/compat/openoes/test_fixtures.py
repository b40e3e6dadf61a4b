"""The SDK's fixtures in a suite that is not ours."""

import subprocess
import sys
from pathlib import Path

SUITE = """
from openoes_core import KeyManager, StreamPublisher

pytest_plugins = ["heliograph.testing.settlement_fixtures", "openoes_testing.fixtures"]


def test_the_mock(mock_redis, mock_connection_manager):
    StreamPublisher(mock_connection_manager.get_wsp_client(), KeyManager.credit_request_stream()).publish({"a": 1})
    assert mock_redis.xlen(KeyManager.credit_request_stream()) == 1


def test_the_mock_is_empty_again(mock_redis):
    assert mock_redis.keys("*") == []


def test_two_servers(connection_manager):
    primary, replica = connection_manager.get_wsp_client(), connection_manager.get_replica_client()
    StreamPublisher(primary, KeyManager.credit_request_stream()).publish({"a": 1})
    primary.wait(1, 5000)
    assert replica.xlen(KeyManager.credit_request_stream()) == 1
    replica.xadd(KeyManager.credit_response_stream(), {"a": "1"})


def test_both_are_empty_again(connection_manager):
    connection_manager.get_wsp_client().wait(1, 5000)
    assert connection_manager.get_wsp_client().keys("*") == []
    assert connection_manager.get_replica_client().keys("*") == []
"""


def test_a_foreign_suite_uses_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "test_foreign.py").write_text(SUITE)
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio", "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
