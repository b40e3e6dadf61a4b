"""Signatures of OKX's private interfaces: HMAC-SHA256, in base64.

Sources: "Making Requests" of https://www.okx.com/docs-v5/en/#overview-rest-authentication and "Login" of
https://www.okx.com/docs-v5/en/#overview-websocket-login .
"""

import base64
import hashlib
import hmac
from typing import Final

LOGIN_PATH: Final = "/users/self/verify"


def canonical_request(timestamp: str, method: str, path: str, body: str = "") -> str:
    """Return the text to sign of a REST request.

    Args:
        timestamp: what `OK-ACCESS-TIMESTAMP` says, such as `2020-12-08T09:08:57.715Z`.
        method: in any case.
        path: with the query, exactly as sent.
        body: exactly as sent; empty for a GET.

    """
    return f"{timestamp}{method.upper()}{path}{body}"


def canonical_login(timestamp_s: int) -> str:
    """Return the text to sign of a socket's `login`, whose `timestamp` is in seconds since the epoch."""
    return f"{timestamp_s}GET{LOGIN_PATH}"


def sign(secret: str, text: str) -> str:
    """Return the signature of a text.

    Args:
        secret: the key's secret half.
        text: `canonical_request` or `canonical_login`.

    """
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()
