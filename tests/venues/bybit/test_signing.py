import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.venues.bybit.signing import request_text, sign, socket_text

BODY = '{\n"category": "option"\n}'


def test_the_texts_to_sign_are_those_of_the_documentation() -> None:
    query = "category=option&symbol=BTC-29JUL22-25000-C"
    assert request_text(1658384314791, "XXXXXXXXXX", 5000, query) == f"1658384314791XXXXXXXXXX5000{query}"
    assert request_text(1658385579423, "XXXXXXXXXX", 5000, BODY) == f"1658385579423XXXXXXXXXX5000{BODY}"
    assert socket_text(1662350400000) == "GET/realtime1662350400000"


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        ("GET/realtime1662350400000", "d7ca36fea9ef1287007fd4b15af961e91d419a3d3f3ccbdf23585170ac116cd4"),
        (
            request_text(1658384314791, "key", 5000, "category=spot&symbol=BTCUSDT"),
            "4ae718958b800b7b025983303444de6f413cc6db793b2964c3b70c8fb8057c1b",
        ),
        (
            request_text(1658385579423, "key", 5000, BODY),
            "e8ca021d61c19530ae9d4ba4e3839461bf8fb11d99fe9ba7c945600c3755f176",
        ),
    ],
)
def test_a_text_is_signed_as_openssl_signs_it(text: str, signature: str) -> None:
    """The signatures were made by `openssl dgst -sha256 -hmac secret`; where it is installed it is asked again."""
    assert sign("secret", text) == signature
    if (openssl := shutil.which("openssl")) is not None:
        done = subprocess.run(
            [openssl, "dgst", "-sha256", "-hmac", "secret"], input=text.encode(), capture_output=True, check=True
        )
        assert done.stdout.decode().split()[-1] == signature


@given(st.text(), st.text())
def test_a_signature_is_of_every_byte_that_is_sent(body: str, other: str) -> None:
    texts = [request_text(1, "k", 5000, payload) for payload in (body, other)]
    assert (sign("s", texts[0]) == sign("s", texts[1])) == (body == other)
