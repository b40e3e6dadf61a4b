"""The SDK's names on the server."""

import inspect

import openoes_core
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openoes_core import KeyManager

NAMES = st.one_of(
    st.text(max_size=8),
    st.text(alphabet=":%stream3A5", max_size=8),
    st.sampled_from(["stream", "pledge", "settlement_report", "a:b", "%3A", "%"]),
)
PLAIN = {
    "credit_inventory": ("CI:user123:BTC", ("user123", "BTC")),
    "exchange_stream": ("exchange:stream:pledge:user123", ("pledge", "user123")),
    "custodian_stream": ("custodian:c:u:events", ("c", "u", "events")),
    "pledge_request": ("custodian:c:u:BTC:pledge", ("c", "u", "BTC")),
    "pledge_response": ("exchange:c:u:pledge_response", ("c", "u")),
    "settlement_report": ("exchange:c:settlement_report", ("c",)),
    "settlement_completion": ("exchange:c:settlement_completion", ("c",)),
    "credit_request_stream": ("mirror:credit:request", ()),
    "credit_response_stream": ("mirror:credit:response", ()),
    "settlement_individual_response": ("mirror:settlement:individual:response", ()),
    "settlement_batch_response": ("mirror:settlement:batch:response", ()),
}


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_an_ordinary_name_is_the_seeds_text(name: str) -> None:
    text, arguments = PLAIN[name]
    assert getattr(KeyManager, name)(*arguments) == text
    suffix = "_stream" if name in {"exchange_stream", "custodian_stream"} else ""
    stem = name.removesuffix("_stream")
    functions = [f"generate_{stem}{suffix}_key", f"generate_{stem}_stream_key"]
    found = [getattr(openoes_core, function) for function in functions if hasattr(openoes_core, function)]
    assert found
    assert {function(*arguments) for function in found} == {text}


def test_a_users_own_settlement_stream() -> None:
    assert KeyManager.settlement_report("c", "u") == KeyManager.settlement_completion("c", "u") == "settlement:u"


def test_d04_every_key_method_that_callers_use_is_there() -> None:
    names = [
        KeyManager.settlement_report_stream(),
        KeyManager.settlement_confirmation_stream(),
        KeyManager.pledge_request_stream(),
        KeyManager.pledge_response_stream(),
        KeyManager.account("u", "BTC"),
        KeyManager.vault_asset("v"),
    ]
    assert len(set(names)) == len(names)
    assert all(KeyManager.parse_key(name)["type"] != "unknown" for name in names)


def _made(a: str, b: str, c: str) -> dict[str, dict[str, str]]:
    return {
        KeyManager.credit_inventory(a, b): {"type": "credit_inventory", "user_id": a, "asset": b},
        KeyManager.exchange_stream(a, b): {"type": "exchange_stream", "stream_type": a, "identifier": b},
        KeyManager.custodian_stream(a, b, c): {
            "type": "custodian_stream",
            "custodian_id": a,
            "user_id": b,
            "stream_type": c,
        },
        KeyManager.pledge_request(a, b, c): {
            "type": "pledge_request",
            "custodian_id": a,
            "user_id": b,
            "asset_id": c,
        },
        KeyManager.pledge_response(a, b): {"type": "pledge_response", "custodian_id": a, "user_id": b},
        KeyManager.settlement_report(a): {
            "type": "custodian_settlement",
            "custodian_id": a,
            "settlement_type": "settlement_report",
        },
        KeyManager.settlement_report(a, b): {"type": "user_settlement", "user_id": b},
        KeyManager.account(a, b): {"type": "account", "user_id": a, "asset": b},
        KeyManager.vault_asset(a): {"type": "vault_asset", "vault_id": a},
    }


@given(NAMES, NAMES, NAMES)
def test_d23_a_key_gives_back_what_it_was_made_of(a: str, b: str, c: str) -> None:
    made = _made(a, b, c)
    assert len(made) == 9, "two meanings share a key"
    for key, meaning in made.items():
        assert KeyManager.parse_key(key) == meaning


def test_d23_two_pairs_never_share_a_key() -> None:
    assert KeyManager.credit_inventory("a:b", "c") != KeyManager.credit_inventory("a", "b:c")
    parsed = KeyManager.parse_key(KeyManager.credit_inventory("a:b", "c"))
    assert parsed == {"type": "credit_inventory", "user_id": "a:b", "asset": "c"}


@pytest.mark.parametrize("key", ["", "CI", "CI:a", "CI:a:b:c", "exchange:stream:x", "hello", "custodian:a:b"])
def test_what_is_no_key_of_the_sdk_is_unknown(key: str) -> None:
    assert KeyManager.parse_key(key) == {"type": "unknown", "key": key}


def test_the_functions_take_the_arguments_of_the_methods() -> None:
    for name, (_, arguments) in PLAIN.items():
        assert len(inspect.signature(getattr(KeyManager, name)).parameters) >= len(arguments)
