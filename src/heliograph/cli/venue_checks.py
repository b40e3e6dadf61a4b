"""What `heliograph doctor` asks of a venue: that its sockets and its REST can be reached, and what time it is there."""

import asyncio
import contextlib
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from heliograph.cli.finding import LOOK_S_MAX, Finding, fail, ok, warn
from heliograph.venues.contract import Market

OFFSET_S_GOOD: Final = 2.0
"""HTTP's own dates have whole seconds, and an answer takes a while."""
OFFSET_S_MAX: Final = 30.0
_FORBIDDEN: Final = (403, 451)
_BUSY: Final = (418, 429)


async def market(wanted: Market) -> list[Finding]:
    """Look at a market's sockets and REST, each in time of its own."""
    found = await asyncio.gather(_socket(wanted), _rest(wanted))
    return [finding for part in found for finding in part]


async def _socket(wanted: Market) -> list[Finding]:
    check = f"{wanted.venue} {wanted.market} socket"
    parts = urlsplit(wanted.socket_url)
    secure = parts.scheme == "wss"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    began_s = time.perf_counter()
    try:
        async with asyncio.timeout(LOOK_S_MAX):
            context = ssl.create_default_context() if secure else None
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError) as e:
        return [_unreachable(check, f"{host}:{port}", e)]
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    took_ms = (time.perf_counter() - began_s) * 1000
    return [ok(check, f"{host}:{port} answers{' with TLS' if secure else ''}, {took_ms:.0f} ms to connect")]


async def _rest(wanted: Market) -> list[Finding]:
    """Ask for the instruments, which every venue has and needs no key, and read no more than the answer's head."""
    check = f"{wanted.venue} {wanted.market} REST"
    request = wanted.instruments_request()
    body = request.body
    headers = dict(wanted.headers) | ({} if body is None else {"Content-Type": "application/json"})
    url = f"{wanted.rest_url}{request.path}"
    try:
        async with (
            asyncio.timeout(LOOK_S_MAX),
            aiohttp.ClientSession(headers={"User-Agent": "heliograph"} | headers) as session,
            session.request("GET" if body is None else "POST", url, params=request.query, data=body) as answer,
        ):
            findings = [judge_status(check, answer.status)]
            date = answer.headers.get("Date")
            if date is not None:
                findings.append(judge_date(f"{wanted.venue} {wanted.market} clock", date, time.time()))
            answer.close()
            return findings
    except (OSError, TimeoutError, aiohttp.ClientError) as e:
        return [_unreachable(check, urlsplit(url).netloc, e)]


def judge_status(check: str, status: int) -> Finding:
    """Judge an answer's status."""
    if status in _FORBIDDEN:
        return fail(check, f"HTTP {status}", "the venue does not serve this address or country")
    if status in _BUSY:
        return warn(check, f"HTTP {status}: asked too often", "leave the venue alone for some minutes")
    if status != 200:
        return warn(check, f"HTTP {status}", "the venue may be in maintenance; see its status page")
    return ok(check, "HTTP 200")


def judge_date(check: str, date: str, now_s: float) -> Finding:
    """Judge what time it is at the venue, by an answer's `Date`.

    Source: https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1

    Args:
        check: what is looked at.
        date: the header.
        now_s: our time, in seconds since the epoch.

    """
    try:
        offset_s = now_s - parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return warn(check, "its answer has no date that can be read", "compare this machine's clock with another")
    told = f"{offset_s:+.1f} s off the venue's"
    if abs(offset_s) <= OFFSET_S_GOOD:
        return ok(check, told)
    judge = fail if abs(offset_s) > OFFSET_S_MAX else warn
    return judge(check, told, "set this machine's clock by NTP: venues refuse requests that are signed at another time")


def _unreachable(check: str, where: str, error: Exception) -> Finding:
    if isinstance(error, TimeoutError):
        return fail(check, f"{where}: no answer within {LOOK_S_MAX:g} s", "a firewall or proxy between?")
    cause = getattr(error, "os_error", error)
    if isinstance(error, ssl.SSLCertVerificationError | aiohttp.ClientConnectorCertificateError):
        words = getattr(getattr(error, "certificate_error", error), "verify_message", str(error))
        return fail(check, f"{where}: TLS: {words}", "the machine's clock and CA certificates (SSL_CERT_FILE)")
    told = getattr(cause, "strerror", None) or str(error) or type(error).__name__
    return fail(check, f"{where}: {told}", "is there a network, and a DNS that knows this name?")
