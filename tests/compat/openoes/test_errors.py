"""The SDK's errors."""

import builtins
import inspect
from typing import Any

import openoes_core
import pytest
import redis
from openoes_core import OpenOESError, handle_redis_error
from redis import exceptions as foreign

ARGUMENTS: dict[str, dict[str, Any]] = {
    "ConnectionError": {"host": "h", "port": 1},
    "ACLError": {"username": "u"},
    "StreamError": {"stream_name": "s"},
    "KeyError": {"key": "k"},
    "ValidationError": {"field": "f", "value": 2},
    "CreditRequestError": {"request_id": "r", "user_id": "u", "asset": "BTC"},
    "SettlementError": {"settlement_id": "s", "user_id": "u"},
    "ConfigurationError": {"parameter": "p"},
    "TimeoutError": {"operation": "o", "timeout": 1.5},
}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_an_error_keeps_its_context_and_says_it(name: str) -> None:
    kind = getattr(openoes_core, name)
    arguments = ARGUMENTS[name]
    error = kind("it broke", **arguments)
    assert isinstance(error, OpenOESError)
    assert error.message == "it broke"
    assert str(error) == "it broke (" + ", ".join(f"{k}={v}" for k, v in arguments.items()) + ")"
    assert {k: getattr(error, k) for k in arguments} == arguments
    assert [getattr(kind("it broke", *arguments.values()), k) for k in arguments] == list(arguments.values())
    bare = kind("it broke")
    assert str(bare) == "it broke"
    assert all(getattr(bare, k) is None for k in arguments)
    # A program catches ours by our name and a builtin by Python's; neither catches the other.
    assert not issubclass(kind, getattr(builtins, name, ArithmeticError))


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (foreign.ConnectionError("away"), openoes_core.ConnectionError),
        (foreign.TimeoutError("late"), openoes_core.TimeoutError),
        (foreign.AuthenticationError("WRONGPASS"), openoes_core.ACLError),
        (foreign.NoPermissionError("NOPERM"), openoes_core.ACLError),
        (foreign.DataError("a bool"), openoes_core.ValidationError),
        (foreign.ResponseError("ERR no"), openoes_core.StreamError),
        (foreign.ResponseError("WRONGTYPE Operation"), openoes_core.KeyError),
        (ZeroDivisionError("division by zero"), OpenOESError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_d39_a_foreign_error_keeps_its_class_its_words_and_itself(raised: Exception, expected: type) -> None:
    @handle_redis_error
    def broken(how: str) -> None:
        """Break."""
        raise raised

    with pytest.raises(OpenOESError) as caught:
        broken("somehow")
    assert type(caught.value) is expected
    assert type(raised).__name__ in str(caught.value)
    assert str(raised) in str(caught.value)
    assert "broken" in str(caught.value)
    assert caught.value.__cause__ is raised
    assert (broken.__name__, broken.__doc__) == ("broken", "Break.")
    assert list(inspect.signature(broken).parameters) == ["how"]


def test_d39_an_error_of_the_sdk_passes_as_it_is() -> None:
    original = openoes_core.SettlementError("no", settlement_id="s")

    @handle_redis_error
    def broken() -> None:
        raise original

    with pytest.raises(openoes_core.SettlementError) as caught:
        broken()
    assert caught.value is original


def test_d39_a_stream_that_is_no_stream_is_named(client: redis.Redis) -> None:
    client.set("a-string", "1")
    with pytest.raises(openoes_core.KeyError, match="a-string") as caught:
        openoes_core.add_message_to_stream(client, "a-string", {"a": "1"})
    assert caught.value.key == "a-string"
