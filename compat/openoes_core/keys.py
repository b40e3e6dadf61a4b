"""The SDK's names on the server, and back.

A user, asset or custodian may hold any character: `%` and `:` are percent-encoded inside a key, so that no two share
one, and `parse_key` gives back what went in.
"""

from collections.abc import Callable
from typing import Final

from heliograph.bus import link_keys
from heliograph.bus.link_keys import part, unpart

_RESERVED: Final = "stream"
"""What follows `exchange:` in `exchange:stream:{type}:{id}`; a custodian of that name is encoded further."""


def _custodian(name: str) -> str:
    return f"%{ord(name[0]):02X}{name[1:]}" if name == _RESERVED else part(name)


class KeyManager:
    """Every key of the SDK by its meaning; callers name the meaning, never the text."""

    @staticmethod
    def credit_inventory(user_id: str, asset: str) -> str:
        """Return the hash of a user's credit in one asset."""
        return link_keys.credit(user_id, asset)

    @staticmethod
    def exchange_stream(stream_type: str, identifier: str) -> str:
        """Return one of the exchange's own streams."""
        return f"exchange:stream:{part(stream_type)}:{part(identifier)}"

    @staticmethod
    def custodian_stream(custodian_id: str, user_id: str, stream_type: str) -> str:
        """Return one of a custodian's streams for one user."""
        return f"custodian:{part(custodian_id)}:{part(user_id)}:{part(stream_type)}"

    @staticmethod
    def pledge_request(custodian_id: str, user_id: str, asset_id: str) -> str:
        """Return the stream of a user's pledges of one asset."""
        return f"custodian:{part(custodian_id)}:{part(user_id)}:{part(asset_id)}:pledge"

    @staticmethod
    def pledge_response(custodian_id: str, user_id: str) -> str:
        """Return the stream of the answers to a user's pledges."""
        return f"exchange:{_custodian(custodian_id)}:{part(user_id)}:pledge_response"

    @staticmethod
    def settlement_report(custodian_id: str, user_id: str | None = None) -> str:
        """Return the stream of a custodian's settlement reports, or of one user's."""
        if user_id is not None:
            return f"settlement:{part(user_id)}"
        return f"exchange:{_custodian(custodian_id)}:settlement_report"

    @staticmethod
    def settlement_completion(custodian_id: str, user_id: str | None = None) -> str:
        """Return the stream of a custodian's completions, or of one user's settlements."""
        if user_id is not None:
            return f"settlement:{part(user_id)}"
        return f"exchange:{_custodian(custodian_id)}:settlement_completion"

    @staticmethod
    def credit_request_stream() -> str:
        """Return the stream of credit requests, which the custodian writes."""
        return link_keys.CREDIT_REQUESTS

    @staticmethod
    def credit_response_stream() -> str:
        """Return the stream of answers to credit requests, which the exchange writes."""
        return link_keys.CREDIT_RESPONSES

    @staticmethod
    def settlement_individual_response() -> str:
        """Return the stream of answers to single settlements."""
        return "mirror:settlement:individual:response"

    @staticmethod
    def settlement_batch_response() -> str:
        """Return the stream of answers to settlement batches."""
        return "mirror:settlement:batch:response"

    @staticmethod
    def settlement_report_stream() -> str:
        """Return the stream of settlement reports, which the exchange writes."""
        return link_keys.SETTLEMENT_REPORTS

    @staticmethod
    def settlement_confirmation_stream() -> str:
        """Return the stream of settlement confirmations, which the custodian writes."""
        return link_keys.SETTLEMENT_CONFIRMATIONS

    @staticmethod
    def pledge_request_stream() -> str:
        """Return the stream of pledge requests, which the custodian writes."""
        return link_keys.PLEDGE_REQUESTS

    @staticmethod
    def pledge_response_stream() -> str:
        """Return the stream of answers to pledge requests, which the exchange writes."""
        return link_keys.PLEDGE_RESPONSES

    @staticmethod
    def account(user_id: str, asset: str) -> str:
        """Return the hash of a user's account in one asset at the exchange."""
        return f"account:{part(user_id)}:{part(asset)}"

    @staticmethod
    def vault_asset(vault_id: str) -> str:
        """Return the hash of one lot of a vault."""
        return f"vault:{part(vault_id)}"

    @staticmethod
    def parse_key(key: str) -> dict[str, str]:
        """Return what a key means: its `type`, and what it was made from; `unknown` with the key itself for others."""
        kind = _FIXED.get(key)
        if kind is not None:
            return {"type": kind}
        parts = key.split(":")
        for kind, prefix, names, suffix in _SHAPES:
            middle = parts[len(prefix) : len(parts) - len(suffix)]
            if len(middle) != len(names) or [*prefix, *middle, *suffix] != parts:
                continue
            # The reserved word in a custodian's place belongs to the exchange's own streams, which have other names.
            if names[0] != "custodian_id" or prefix != ("exchange",) or middle[0] != _RESERVED:
                return {"type": kind, **{name: unpart(text) for name, text in zip(names, middle, strict=True)}}
        return {"type": "unknown", "key": key}


_Shape = tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]
_SHAPES: Final[tuple[_Shape, ...]] = (
    ("credit_inventory", ("CI",), ("user_id", "asset"), ()),
    ("pledge_response", ("exchange",), ("custodian_id", "user_id"), ("pledge_response",)),
    ("exchange_stream", ("exchange", "stream"), ("stream_type", "identifier"), ()),
    ("custodian_stream", ("custodian",), ("custodian_id", "user_id", "stream_type"), ()),
    ("pledge_request", ("custodian",), ("custodian_id", "user_id", "asset_id"), ("pledge",)),
    ("user_settlement", ("settlement",), ("user_id",), ()),
    ("custodian_settlement", ("exchange",), ("custodian_id", "settlement_type"), ()),
    ("account", ("account",), ("user_id", "asset"), ()),
    ("vault_asset", ("vault",), ("vault_id",), ()),
)
_FIXED: Final[dict[str, str]] = {
    KeyManager.credit_request_stream(): "credit_request_stream",
    KeyManager.credit_response_stream(): "credit_response_stream",
    KeyManager.settlement_individual_response(): "settlement_individual_response",
    KeyManager.settlement_batch_response(): "settlement_batch_response",
    KeyManager.settlement_report_stream(): "settlement_report_stream",
    KeyManager.settlement_confirmation_stream(): "settlement_confirmation_stream",
    KeyManager.pledge_request_stream(): "pledge_request_stream",
    KeyManager.pledge_response_stream(): "pledge_response_stream",
}

generate_credit_inventory_key: Final = KeyManager.credit_inventory
generate_exchange_stream_key: Final = KeyManager.exchange_stream
generate_custodian_stream_key: Final = KeyManager.custodian_stream
generate_pledge_request_key: Final = KeyManager.pledge_request
generate_pledge_response_key: Final = KeyManager.pledge_response
generate_settlement_report_key: Final = KeyManager.settlement_report
generate_settlement_completion_key: Final = KeyManager.settlement_completion
generate_credit_request_stream_key: Final[Callable[[], str]] = KeyManager.credit_request_stream
generate_credit_response_stream_key: Final[Callable[[], str]] = KeyManager.credit_response_stream
generate_settlement_individual_response_key: Final[Callable[[], str]] = KeyManager.settlement_individual_response
generate_settlement_batch_response_key: Final[Callable[[], str]] = KeyManager.settlement_batch_response
