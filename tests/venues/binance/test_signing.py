import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.venues.binance.signing import canonical_request, encode_query, sign


@pytest.mark.captures
def test_the_documented_vectors_are_signed_as_documented(captures: Path) -> None:
    lines = (captures / "binance_spot" / "signing_vectors.jsonl").read_text().splitlines()
    assert len(lines) == 3
    for line in lines:
        vector = json.loads(line)
        parameters = parse_qsl(vector["payload"])
        socket = vector["kind"].startswith("ws-api")
        text = canonical_request(dict(parameters)) if socket else encode_query(parameters)
        assert text == vector["payload"]
        assert sign(vector["secret"], text) == vector["signature"]


def test_a_query_is_percent_encoded_before_it_is_signed() -> None:
    assert encode_query([("symbol", "１２"), ("note", "a b&c/d")]) == "symbol=%EF%BC%91%EF%BC%92&note=a%20b%26c%2Fd"


def test_the_signature_itself_is_not_signed() -> None:
    assert canonical_request({"b": "2", "signature": "x", "a": "1"}) == "a=1&b=2"


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1))))
def test_an_encoded_query_reads_back(parameters: list[tuple[str, str]]) -> None:
    assert parse_qsl(encode_query(parameters), keep_blank_values=True) == parameters
