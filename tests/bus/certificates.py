"""Certificates of a test's own authority, as files."""

import datetime
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from heliograph.bus.endpoint import Tls
from heliograph.sim.authority import LOOPBACK, Authority


def certify(directory: Path, name: str, authority: Authority, *, believes: Authority | None = None) -> Tls:
    """Return the files of a party that has a certificate of `authority`, and believes it or another."""
    ca, certificate = directory / f"{name}-ca.pem", directory / f"{name}.pem"
    (believes or authority).write(ca)
    certificate.write_bytes(authority.issue(name, *LOOPBACK))
    certificate.chmod(0o600)
    return Tls(ca_file=str(ca), certificate_file=str(certificate), key_file=str(certificate))


def expire(tls: Tls, authority: Authority) -> Tls:
    """Let a party's certificate have ended an hour ago, in all else as it was, and return its files."""
    assert tls.certificate_file is not None
    file = Path(tls.certificate_file)
    pem = file.read_bytes()
    held = x509.load_pem_x509_certificate(pem)
    ended = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    builder = x509.CertificateBuilder(
        held.issuer, held.subject, held.public_key(), held.serial_number, held.not_valid_before_utc, ended
    )
    for extension in held.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    again = builder.sign(authority._key, hashes.SHA256())
    begin = pem.index(b"-----BEGIN CERTIFICATE")
    file.write_bytes(pem[:begin] + again.public_bytes(serialization.Encoding.PEM))
    return tls


def with_tls(binary: Path) -> Path:
    """Return a server's binary, or skip the test where the build has no TLS.

    A build with TLS says which of its files are missing; one without does not know what is talked about.
    """
    asked = [binary, "--port", "0", "--tls-port", "1", "--tls-cert-file", "nowhere.pem"]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False).stdout
    if "tls-key-file configured" not in said:
        pytest.skip(f"{binary} is built without TLS")
    return binary
