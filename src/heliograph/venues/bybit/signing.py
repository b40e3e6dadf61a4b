"""Signatures of Bybit's private interfaces: HMAC-SHA256, in hexadecimal.

Sources: "Create A Request" of https://bybit-exchange.github.io/docs/v5/guide and "Authentication" of
https://bybit-exchange.github.io/docs/v5/ws/connect .
"""

import hashlib
import hmac


def request_text(timestamp_ms: int, key: str, recv_window_ms: int, payload: str) -> str:
    """Return the text to sign of a REST request.

    Args:
        timestamp_ms: as in the header `X-BAPI-TIMESTAMP`.
        key: the key's public half.
        recv_window_ms: as in the header `X-BAPI-RECV-WINDOW`.
        payload: the query of a GET or the body of a POST, byte for byte as it is sent, without a question mark.

    """
    return f"{timestamp_ms}{key}{recv_window_ms}{payload}"


def socket_text(expires_ms: int) -> str:
    """Return the text to sign of a socket's `auth`, whose arguments are the key, `expires_ms` and the signature.

    Args:
        expires_ms: until when the venue may take it; later than its clock.

    """
    return f"GET/realtime{expires_ms}"


def sign(secret: str, text: str) -> str:
    """Return the signature of a text by the key's secret half."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
