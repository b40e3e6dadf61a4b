"""The SDK's errors: one flat tree, each with what it knows as attributes and in its text.

Some names shadow builtins and are not their subclasses: that is the seeds' vocabulary, and programs catch them by it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from redis import exceptions as foreign

P = ParamSpec("P")
R = TypeVar("R")


class OpenOESError(Exception):
    """The root of the tree: catch it to catch all that the SDK raises on purpose.

    Args:
        message: what happened.
        code: a word that a program can branch on, such as `conflict`; empty where there is none.
        context: further facts, appended to the text where they are known.

    """

    def __init__(self, message: str, *, code: str = "", **context: object) -> None:
        self.message = message
        self.code = code
        known = {name: value for name, value in context.items() if value is not None}
        told = ", ".join(f"{name}={value}" for name, value in known.items())
        super().__init__(f"{message} ({told})" if told else message)


class ConnectionError(OpenOESError):  # noqa: A001 - the seeds' name
    """A server is away, or ended the connection."""

    def __init__(self, message: str, host: str | None = None, port: int | None = None, *, code: str = "") -> None:
        self.host = host
        self.port = port
        super().__init__(message, code=code, host=host, port=port)


class ACLError(OpenOESError):
    """A server refused for want of rights, or a rule could not be applied."""

    def __init__(self, message: str, username: str | None = None, *, code: str = "") -> None:
        self.username = username
        super().__init__(message, code=code, username=username)


class StreamError(OpenOESError):
    """A stream could not be read or written."""

    def __init__(self, message: str, stream_name: str | None = None, *, code: str = "") -> None:
        self.stream_name = stream_name
        super().__init__(message, code=code, stream_name=stream_name)


class KeyError(OpenOESError):  # noqa: A001 - the seeds' name
    """A key is not of the kind that was expected."""

    def __init__(self, message: str, key: str | None = None, *, code: str = "") -> None:
        self.key = key
        super().__init__(message, code=code, key=key)


class ValidationError(OpenOESError):
    """A value cannot be used."""

    def __init__(self, message: str, field: str | None = None, value: object = None, *, code: str = "") -> None:
        self.field = field
        self.value = value
        super().__init__(message, code=code, field=field, value=value)


class CreditRequestError(OpenOESError):
    """A credit request could not be made, or ended badly."""

    def __init__(
        self,
        message: str,
        request_id: str | None = None,
        user_id: str | None = None,
        asset: str | None = None,
        *,
        code: str = "",
    ) -> None:
        self.request_id = request_id
        self.user_id = user_id
        self.asset = asset
        super().__init__(message, code=code, request_id=request_id, user_id=user_id, asset=asset)


class SettlementError(OpenOESError):
    """A settlement could not be made, or ended badly."""

    def __init__(
        self, message: str, settlement_id: str | None = None, user_id: str | None = None, *, code: str = ""
    ) -> None:
        self.settlement_id = settlement_id
        self.user_id = user_id
        super().__init__(message, code=code, settlement_id=settlement_id, user_id=user_id)


class ConfigurationError(OpenOESError):
    """A setting cannot be used."""

    def __init__(self, message: str, parameter: str | None = None, *, code: str = "") -> None:
        self.parameter = parameter
        super().__init__(message, code=code, parameter=parameter)


class TimeoutError(OpenOESError):  # noqa: A001 - the seeds' name
    """An answer did not come in time."""

    def __init__(
        self, message: str, operation: str | None = None, timeout: float | None = None, *, code: str = ""
    ) -> None:
        self.operation = operation
        self.timeout = timeout
        super().__init__(message, code=code, operation=operation, timeout=timeout)


_OURS: Final[tuple[tuple[type[Exception], type[OpenOESError]], ...]] = (
    # The order matters: what redis-py raises for rights is partly a subclass of its connection error.
    (foreign.AuthenticationError, ACLError),
    (foreign.AuthorizationError, ACLError),
    (foreign.NoPermissionError, ACLError),
    (foreign.TimeoutError, TimeoutError),
    (foreign.ConnectionError, ConnectionError),
    (foreign.DataError, ValidationError),
    (foreign.ResponseError, StreamError),
)


def translated(error: Exception, operation: str) -> OpenOESError:
    """Return a foreign error as one of the SDK's, with the name of its class and all its words.

    Args:
        error: what was raised.
        operation: what was being done, such as `publishing to s`.

    """
    if isinstance(error, OpenOESError):
        return error
    message = f"{operation}: {type(error).__name__}: {error}"
    if isinstance(error, foreign.ResponseError) and str(error).startswith("WRONGTYPE"):
        return KeyError(message)
    for theirs, ours in _OURS:
        if isinstance(error, theirs):
            return ours(message)
    return OpenOESError(message)


def handle_redis_error(func: Callable[P, R]) -> Callable[P, R]:
    """Let a function raise the SDK's errors only; the foreign one is the cause, and its class is named in the text."""

    @wraps(func)
    def handled(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return func(*args, **kwargs)
        except OpenOESError:
            raise
        except Exception as e:
            raise translated(e, _name(func)) from e

    return handled


def _name(func: Callable[..., Any]) -> str:
    return str(getattr(func, "__name__", func))
