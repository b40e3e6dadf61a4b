"""Signatures of Gate's private interfaces: HMAC-SHA512, in hexadecimal.

Sources: "Authentication" of https://www.gate.com/docs/developers/apiv4/en/ and of
https://www.gate.com/docs/developers/apiv4/ws/en/ .
"""

import hashlib
import hmac


def canonical_request(method: str, path: str, query: str, body: str, time_s: int) -> str:
    """Return the text to sign of a REST request.

    Args:
        method: in upper case.
        path: with its `/api/v4`.
        query: exactly as sent, without the question mark.
        body: exactly as sent; empty where there is none.
        time_s: seconds since the epoch, as in the header `Timestamp`.

    """
    digest = hashlib.sha512(body.encode()).hexdigest()
    return "\n".join((method, path, query, digest, str(time_s)))


def canonical_subscription(channel: str, event: str, time_s: int) -> str:
    """Return the text to sign of a subscription to a private channel."""
    return f"channel={channel}&event={event}&time={time_s}"


def canonical_call(channel: str, request: str, time_s: int) -> str:
    """Return the text to sign of a request on the socket: `request` is its JSON as sent, empty for a login."""
    return "\n".join(("api", channel, request, str(time_s)))


def sign(secret: str, text: str) -> str:
    """Return the signature of a text made by one of the functions above, by the key's secret half."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha512).hexdigest()
