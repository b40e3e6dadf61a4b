"""The exchange's client: credit, accounts and settlement."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self

from openoes_core.amount import Amount, amount
from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.keys import KeyManager
from openoes_core.places import configuration_of
from openoes_core.publisher import StreamPublisher
from openoes_core.reports import SettlementConfirmation, SettlementReport

from openoes_exchange.accounts import AccountEntry, AccountIntegration
from openoes_exchange.credit import CreditManager, Request, Response
from openoes_exchange.inventory import CreditInventory
from openoes_exchange.inventory_processor import CreditInventoryProcessor
from openoes_exchange.settlement import SettlementManager


class ExchangeClient:
    """All that an exchange does, over the links with all its custodians.

    Args:
        connection_manager: where the two servers are.
        config: the settings.
        approved_custodians: who may ask for credit; None: anybody.
        approved_assets: in which assets; None: in any.
        auto_start_processors: whether requests and confirmations are processed from now on.
        kwargs: taken for compatibility, and not needed.

    """

    def __init__(
        self,
        connection_manager: RedisConnectionManager,
        config: Configuration | Mapping[str, Any] | None = None,
        approved_custodians: Collection[str] | None = None,
        approved_assets: Collection[str] | None = None,
        auto_start_processors: bool = True,
        **kwargs: Any,
    ) -> None:
        self.connection_manager = connection_manager
        self.config = configuration_of(config)
        self.credit_manager = CreditManager(
            connection_manager,
            None,
            kwargs.get("validator"),
            approved_custodians,
            approved_assets,
            False,
            config=self.config,
        )
        self.account_integration = AccountIntegration(connection_manager, self.config)
        self.inventory_processor = CreditInventoryProcessor(connection_manager, self.config)
        self.settlement_manager = SettlementManager(
            connection_manager,
            None,
            False,
            config=self.config,
            booking=self.credit_manager.booking,
            accounts=self.account_integration,
        )
        try:
            if auto_start_processors:
                self.credit_manager.start_request_processor()
                self.settlement_manager.start_confirmation_processor()
        except BaseException:
            self.close()
            raise

    @property
    def failures(self) -> list[Exception]:
        """What handlers and callbacks raised lately."""
        return [*self.credit_manager.failures, *self.settlement_manager.failures]

    def close(self) -> None:
        """End, and leave no thread; a second time does nothing."""
        self.credit_manager.stop_request_processor()
        self.settlement_manager.close()
        self.inventory_processor.close()
        self.account_integration.close()
        self.credit_manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Credit.

    def start_credit_request_processor(self, callback: Callable[[Request], Any] | None = None) -> None:
        """Answer requests from now on; see `CreditManager.start_request_processor`."""
        self.credit_manager.start_request_processor(callback)

    def stop_credit_request_processor(self) -> None:
        """Answer no more."""
        self.credit_manager.stop_request_processor()

    def add_credit_request_handler(self, callback: Callable[[Request, Response], Any]) -> None:
        """Call it with each request and its answer."""
        self.credit_manager.add_request_callback(callback)

    def process_credit_request(self, request: Mapping[str, Any]) -> Response:
        """Answer a request in the wire's fields."""
        return self.credit_manager.process_credit_request(request)

    def approve_credit_request(self, request: Mapping[str, Any]) -> Response:
        """Accept a request; once more changes nothing."""
        return self.credit_manager.approve_credit_request(request)

    def reject_credit_request(self, request: Mapping[str, Any], reason: str = "") -> Response:
        """Reject a request; once more changes nothing."""
        return self.credit_manager.reject_credit_request(request, reason)

    def validate_credit_request(
        self,
        custodian: str,
        user_id: str,
        asset: str,
        amount: Any,
        ci: Any = None,
        chain: str | None = None,
        address: str | None = None,
    ) -> tuple[bool, str]:
        """Tell whether a request would be accepted, and why not; nothing changes."""
        return self.credit_manager.validate_credit_request(custodian, user_id, asset, amount, ci, chain, address)

    def get_credit_inventory(self, user_id: str, asset: str) -> CreditInventory | None:
        """Return a user's credit, None if there is none."""
        return self.credit_manager.get_credit_inventory(user_id, asset)

    def update_credit_inventory(
        self, user_id: str, asset: str, amount: Any, is_increase: bool = True
    ) -> CreditInventory:
        """Change a user's credit: within a handler with the approval of its request, else at once."""
        return self.credit_manager.update_credit_inventory(user_id, asset, amount, is_increase)

    # Accounts.

    def update_account(
        self, user_id: str, asset: str, amount: Any, transaction_type: str = "trade", **kwargs: Any
    ) -> AccountEntry:
        """Change a user's account, in or out by the amount's sign; `sell`, `withdraw` and `debit` are out.

        Raises:
            ValidationError: the amount is none, or more than there is.

        """
        by = _read(amount)
        out = by < 0 or transaction_type.lower() in ("sell", "sold", "withdraw", "withdrawal", "debit", "decrease")
        change = self.account_integration.decrease_balance if out else self.account_integration.increase_balance
        return change(user_id, asset, abs(by), transaction_id=kwargs.get("transaction_id"))

    def get_account_balance(self, user_id: str, asset: str) -> Amount:
        """Return a user's balance, zero without an account."""
        found = self.account_integration.get_account(user_id, asset)
        return Amount(0) if found is None else found.balance

    # Settlement.

    def add_settlement_confirmation_callback(self, callback: Callable[[SettlementConfirmation], Any]) -> None:
        """Call it with each confirmation that is taken."""
        self.settlement_manager.add_confirmation_callback(callback)

    def generate_settlement_report(
        self,
        user_id: str,
        assets_bought: Sequence[Mapping[str, Any]],
        assets_sold: Sequence[Mapping[str, Any]],
        net_position: Mapping[str, Any],
        settlement_instructions: Mapping[str, Any],
        eod_time: str | None = None,
        publish: bool = True,
    ) -> SettlementReport:
        """Report what a user bought and sold; see `SettlementManager.generate_settlement_report`."""
        return self.settlement_manager.generate_settlement_report(
            user_id, assets_bought, assets_sold, net_position, settlement_instructions, eod_time, publish
        )

    def generate_settlement_reports(
        self,
        user_data: Mapping[str, Mapping[str, Any]] | None = None,
        eod_time: str | None = None,
        publish: bool = True,
    ) -> list[SettlementReport]:
        """Report each user's data; without any, whatever the accounts' changes since the last cycle come to."""
        return self.settlement_manager.generate_settlement_reports(user_data, eod_time, publish)

    def create_settlement_report(
        self,
        user_id: str,
        settlement_id: str,
        trades: Sequence[Mapping[str, Any]],
        positions: Mapping[str, Any],
    ) -> SettlementReport:
        """Make a report of trades, unpublished."""
        bought = [{"asset_id": each["buy_asset"], "amount": each["buy_amount"]} for each in trades]
        sold = [{"asset_id": each["sell_asset"], "amount": each["sell_amount"]} for each in trades]
        report = self.generate_settlement_report(user_id, bought, sold, positions, {}, publish=False)
        return self.settlement_manager.rename(report, settlement_id)

    def publish_settlement_report(self, report: SettlementReport) -> str:
        """Append a report to the seeds' stream, and return its entry's id."""
        client = self.connection_manager.get_replica_client()
        return StreamPublisher(client, KeyManager.settlement_report_stream()).publish(report.to_stream_data())

    def process_settlement_confirmations(
        self, callback: Callable[[SettlementConfirmation], Any] | None = None, run_once: bool = False
    ) -> list[SettlementConfirmation]:
        """Hand out the confirmations that have come, and return them."""
        return self.settlement_manager.process_settlement_confirmations(callback, run_once)

    def get_settlement_report(self, settlement_id: str) -> SettlementReport | None:
        """Return a report."""
        return self.settlement_manager.get_settlement_report(settlement_id)

    def get_settlement_reports(self, user_id: str | None = None, status: str | None = None) -> list[SettlementReport]:
        """Return the reports of a user and a status, as far as these are said."""
        return self.settlement_manager.get_settlement_reports(user_id, status)

    def get_settlement_confirmation(self, settlement_id: str) -> SettlementConfirmation | None:
        """Return the confirmation of a report."""
        return self.settlement_manager.get_settlement_confirmation(settlement_id)

    def get_settlement_confirmations(
        self, user_id: str | None = None, status: str | None = None
    ) -> list[SettlementConfirmation]:
        """Return the confirmations of a user and a status, as far as these are said."""
        return self.settlement_manager.get_settlement_confirmations(user_id, status)


def _read(value: Any) -> Amount:
    return amount(value)
