"""Certificates of a test's own authority, as files."""

import subprocess
from pathlib import Path

import pytest

from heliograph.bus.endpoint import Tls
from heliograph.sim.authority import LOOPBACK, Authority


def certify(directory: Path, name: str, authority: Authority, *, believes: Authority | None = None) -> Tls:
    """Return the files of a party that has a certificate of `authority`, and believes it or another."""
    ca, certificate = directory / f"{name}-ca.pem", directory / f"{name}.pem"
    (believes or authority).write(ca)
    certificate.write_bytes(authority.issue(name, *LOOPBACK))
    certificate.chmod(0o600)
    return Tls(ca_file=str(ca), certificate_file=str(certificate), key_file=str(certificate))


def with_tls(binary: Path) -> Path:
    """Return a server's binary, or skip the test where the build has no TLS.

    A build with TLS says which of its files are missing; one without does not know what is talked about.
    """
    asked = [binary, "--port", "0", "--tls-port", "1", "--tls-cert-file", "nowhere.pem"]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False).stdout
    if "tls-key-file configured" not in said:
        pytest.skip(f"{binary} is built without TLS")
    return binary
