import json
from pathlib import Path

import pytest

from heliograph.venues.gateio.signing import canonical_call, canonical_request, canonical_subscription, sign


@pytest.mark.captures
def test_the_documented_vectors_are_signed_as_documented(captures: Path) -> None:
    lines = (captures / "gate" / "signing_vectors.jsonl").read_text().splitlines()
    assert len(lines) == 3
    for line in lines:
        vector = json.loads(line)
        if vector["kind"].startswith("rest"):
            method, path, query, _, time_s = vector["payload"].split("\n")
            text = canonical_request(method, path, query, vector["body"], int(time_s))
        else:
            parts = dict(part.split("=") for part in vector["payload"].split("&"))
            text = canonical_subscription(parts["channel"], parts["event"], int(parts["time"]))
        assert text == vector["payload"]
        assert sign(vector["secret"], text) == vector["signature"]


def test_a_call_on_the_socket_signs_its_json_and_a_login_nothing() -> None:
    assert canonical_call("spot.login", "", 17) == "api\nspot.login\n\n17"
    assert canonical_call("spot.order_place", '{"a":1}', 17) == 'api\nspot.order_place\n{"a":1}\n17'
