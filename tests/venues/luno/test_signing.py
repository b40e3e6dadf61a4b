import json
from pathlib import Path

import pytest

from heliograph.venues.contract import Credentials
from heliograph.venues.luno.signing import authorization


@pytest.mark.captures
def test_the_vector_is_written_as_documented(captures: Path) -> None:
    (line,) = (captures / "luno" / "signing_vectors.jsonl").read_text().splitlines()
    vector = json.loads(line)
    assert f"Authorization: {authorization(Credentials(vector['key'], vector['secret']))}" == vector["header"]


def test_the_key_id_is_the_user_and_the_secret_the_password() -> None:
    # The example of https://www.rfc-editor.org/rfc/rfc7617#section-2
    assert authorization(Credentials("Aladdin", "open sesame")) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
