import ssl
from pathlib import Path

import pytest

from heliograph.sim.authority import Authority


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """Let the two meet in memory; raises what the client finds wrong."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)]
    for _ in range(10):
        sides = [side for side in sides if not _done(side)]
    assert not sides


def _done(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def test_a_client_that_was_given_the_certificate_trusts_the_server() -> None:
    authority = Authority()
    for name in ("127.0.0.1", "localhost"):
        _handshake(authority.client_context(), authority.server_context(), name)


def test_the_server_is_whom_it_was_asked_to_be_and_nobody_else() -> None:
    authority = Authority("stream.example.com")
    server = authority.server_context("rest.example.com")
    for name in ("stream.example.com", "rest.example.com", "localhost"):
        _handshake(authority.client_context(), server, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        _handshake(authority.client_context(), server, "other.example.com")


def test_nobody_else_trusts_it() -> None:
    authority, other = Authority(), Authority()
    for client in (ssl.create_default_context(), other.client_context()):
        with pytest.raises(ssl.SSLCertVerificationError):
            _handshake(client, authority.server_context(), "localhost")


def test_a_file_holds_the_certificate_and_no_key(tmp_path: Path) -> None:
    authority = Authority()
    authority.write(tmp_path / "ca.pem")
    content = (tmp_path / "ca.pem").read_bytes()
    assert content == authority.certificate
    assert content.startswith(b"-----BEGIN CERTIFICATE-----")
    assert b"PRIVATE" not in content
