"""How Luno knows who asks: HTTP Basic, with the key's id and its secret.

Source: https://www.luno.com/en/developers/api#tag/Authentication
"""

from base64 import b64encode

from heliograph.venues.contract import Credentials


def authorization(credentials: Credentials) -> str:
    """Return the value of the header `Authorization`."""
    return "Basic " + b64encode(f"{credentials.key}:{credentials.secret}".encode()).decode()
