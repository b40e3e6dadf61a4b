import json
from pathlib import Path

import pytest

from heliograph.venues.okx.signing import canonical_login, canonical_request, sign


@pytest.mark.captures
def test_the_documented_vectors_are_signed_as_documented(captures: Path) -> None:
    vectors = [json.loads(line) for line in (captures / "okx" / "signing_vectors.jsonl").read_text().splitlines()]
    texts = [
        canonical_request("2020-12-08T09:08:57.715Z", "get", "/api/v5/account/balance"),
        canonical_login(1_538_054_050),
    ]
    assert [vector["payload"] for vector in vectors] == texts
    for vector, text in zip(vectors, texts, strict=True):
        assert sign(vector["secret"], text) == vector["signature"]


def test_the_body_is_signed_as_sent() -> None:
    body = '{"instId": "BTC-USDT"}'
    path = "/api/v5/trade/order"
    assert canonical_request("2026-01-01T00:00:00.000Z", "POST", path, body) == (
        '2026-01-01T00:00:00.000ZPOST/api/v5/trade/order{"instId": "BTC-USDT"}'
    )
