"""Signatures of Binance's private interfaces: HMAC-SHA256, in hexadecimal.

Sources: "SIGNED Endpoint Examples" of
https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security and
https://developers.binance.com/docs/binance-spot-api-docs/websocket-api/request-security .
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import quote


def encode_query(parameters: Sequence[tuple[str, str]]) -> str:
    """Return the parameters as they are sent, and signed: percent-encoded first (since 2026-01-15, else code -1022)."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters)


def canonical_request(parameters: Mapping[str, str]) -> str:
    """Return the text to sign of a WebSocket API request: all parameters, `apiKey` too, sorted by name."""
    return "&".join(f"{name}={parameters[name]}" for name in sorted(parameters) if name != "signature")


def sign(secret: str, text: str) -> str:
    """Return the signature of a text.

    Args:
        secret: the key's secret half.
        text: for REST the query followed by the body, exactly as sent; for the WebSocket API `canonical_request`.

    """
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
