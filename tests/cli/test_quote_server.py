"""What `connector-wss` runs; the program itself is in `test_connector_wss.py`."""

import socket

import pytest
import structlog

from heliograph.app import Where
from heliograph.cli.quote_server import serve_quotes
from heliograph.errors import ConfigError


def test_a_port_that_is_taken_is_refused_before_anything_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"):
            serve_quotes(Where(simulated=True), None, host="127.0.0.1", port=port, probe_port=0, log_level=None)
    structlog.reset_defaults()
    assert capfd.readouterr().out == ""
