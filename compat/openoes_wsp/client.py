"""The custodian's client: credit, settlement, pledges and the vault."""

from collections.abc import Callable, Mapping
from typing import Any, Self

from openoes_core.amount import Amount
from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.errors import ValidationError
from openoes_core.event import EventType
from openoes_core.event_publisher import publish_event_to_stream
from openoes_core.event_routing import EventRouter
from openoes_core.reports import SettlementReport

from openoes_wsp.credit import RESPONSE_TIMEOUT_S, CreditRequestManager
from openoes_wsp.credit_request import CreditRequest
from openoes_wsp.custodies import Custodies
from openoes_wsp.pledge_request import PledgeRequest, PledgeResponse
from openoes_wsp.pledges import PledgeManager
from openoes_wsp.settlement import SettlementClient
from openoes_wsp.vault import VaultManager
from openoes_wsp.vault_asset import VaultAsset

EVENTS = "openoes:events"
"""Where `publish_event` publishes if nothing else is said."""


class WSPClient:
    """All that a custodian does, over one link.

    Args:
        connection_manager: where the two servers are.
        config: the settings.
        custodian_id: who it is; else a call says it, else the settings (`custodian_id`).
        response_timeout: how long a call waits for an answer, in seconds.
        auto_start_processors: whether callbacks are called from now on.

    """

    def __init__(
        self,
        connection_manager: RedisConnectionManager,
        config: Configuration | Mapping[str, Any] | None = None,
        custodian_id: str | None = None,
        response_timeout: float = RESPONSE_TIMEOUT_S,
        auto_start_processors: bool = True,
    ) -> None:
        self.connection_manager = connection_manager
        self._custodies = Custodies(connection_manager, custodian_id, config)
        self.config = self._custodies.config
        ours, start = self._custodies, auto_start_processors
        self.credit_manager = CreditRequestManager(connection_manager, None, response_timeout, start, custodies=ours)
        self.settlement_client = SettlementClient(connection_manager, None, False, custodies=ours)
        self.pledge_manager = PledgeManager(connection_manager, None, start, custodies=ours)
        self.vault_manager = VaultManager(connection_manager, None, custodies=ours)
        if auto_start_processors:
            ours.when_opened = self.settlement_client.start_settlement_processor
        try:
            if auto_start_processors and (custodian_id or self.config.get("custodian_id")):
                # An answer may come without anything being asked here: to what was asked before a restart.
                self._custodies.of(self._custodies.custodian(None))
        except BaseException:
            self.close()
            raise

    @property
    def custodian_id(self) -> str:
        """Who it is where a call does not say."""
        return self._custodies.custodian(None)

    @property
    def failures(self) -> list[Exception]:
        """What callbacks raised lately."""
        parts = (self.credit_manager, self.settlement_client, self.pledge_manager)
        return [error for each in parts for error in each.failures]

    def close(self) -> None:
        """End, and leave no thread; a second time does nothing."""
        self.credit_manager.close()
        self.settlement_client.close()
        self.pledge_manager.close()
        self.vault_manager.close()
        self._custodies.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Credit.

    def add_credit_response_callback(self, callback: Callable[[CreditRequest], Any]) -> None:
        """Call it with each request whose status changed."""
        self.credit_manager.add_response_callback(callback)

    def start_credit_event_listener(self, callback: Callable[[CreditRequest], Any]) -> None:
        """Call it with each request whose status changed, from now on."""
        self.credit_manager.add_response_callback(callback)
        self.credit_manager.start_response_processor()

    def start_credit_response_processor(self) -> None:
        """Call the callbacks for credit from now on."""
        self.credit_manager.start_response_processor()

    def stop_credit_response_processor(self) -> None:
        """Call them no more."""
        self.credit_manager.stop_response_processor()

    def request_credit_increase(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        ci: Any = None,
        chain: str | None = None,
        address: str | None = None,
        wait_for_response: bool = True,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> CreditRequest:
        """Ask for more credit; see `CreditRequestManager`."""
        return self.credit_manager.request_credit_increase(
            user_id, asset, amount, ci, chain, address, wait_for_response, timeout, **kwargs
        )

    def request_credit_decrease(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        ci: Any = None,
        wait_for_response: bool = True,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> CreditRequest:
        """Give credit back; see `CreditRequestManager`."""
        return self.credit_manager.request_credit_decrease(
            user_id, asset, amount, ci, wait_for_response, timeout, **kwargs
        )

    def get_pending_credit_requests(self) -> list[CreditRequest]:
        """Return the requests without an answer."""
        return self.credit_manager.get_pending_requests()

    def get_credit_request(self, request_id: str) -> CreditRequest | None:
        """Return a request that was sent here."""
        return self.credit_manager.get_request(request_id)

    # Settlement.

    def add_settlement_callback(self, callback: Callable[[SettlementReport], Any]) -> None:
        """Call it with each report once."""
        self.settlement_client.add_settlement_callback(callback)

    def start_settlement_processor(self) -> None:
        """Hand reports to the callbacks from now on."""
        self.settlement_client.start_settlement_processor()

    def stop_settlement_processor(self) -> None:
        """Hand them out no more."""
        self.settlement_client.stop_settlement_processor()

    def process_settlement_reports(
        self, callback: Callable[[SettlementReport], Any] | None = None, run_once: bool = False
    ) -> list[SettlementReport]:
        """Handle the reports that are there, and return those that are new."""
        return self.settlement_client.process_settlement_reports(callback, run_once)

    def confirm_settlement(
        self,
        settlement_id: str,
        status: str = "completed",
        details: Mapping[str, Any] | None = None,
        *,
        user_id: str | None = None,
    ) -> bool:
        """Confirm a report or refuse it, and tell whether that could be done."""
        return self.settlement_client.confirm_settlement(settlement_id, status, details, user_id=user_id)

    def get_settlement_report(self, settlement_id: str) -> SettlementReport | None:
        """Return a report."""
        return self.settlement_client.get_settlement_report(settlement_id)

    def get_settlement_reports(self, user_id: str | None = None, status: str | None = None) -> list[SettlementReport]:
        """Return the reports of a user and a status, as far as these are said."""
        return self.settlement_client.get_settlement_reports(user_id, status)

    # Pledges.

    def add_pledge_response_callback(self, callback: Callable[[PledgeResponse], Any]) -> None:
        """Call it with each answer to a pledge."""
        self.pledge_manager.add_response_callback(callback)

    def create_pledge(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        address: str,
        chain: str,
        request_id: str | None = None,
        wait_for_response: bool = False,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> PledgeRequest:
        """Make a pledge and send it; here the address comes before the chain."""
        return self.pledge_manager.create_pledge(
            user_id,
            asset,
            amount,
            chain,
            address,
            request_id,
            wait_for_response=wait_for_response,
            timeout=timeout,
            **kwargs,
        )

    def process_pledge_responses(
        self, callback: Callable[[PledgeResponse], Any] | None = None, run_once: bool = False
    ) -> list[PledgeResponse]:
        """Hand out the answers to pledges that have come, and return them."""
        return self.pledge_manager.process_pledge_responses(callback, run_once)

    def get_pledge_request(self, request_id: str) -> PledgeRequest | None:
        """Return a pledge."""
        return self.pledge_manager.get_pledge_request(request_id)

    def get_pledge_requests(
        self, user_id: str | None = None, asset: str | None = None, status: str | None = None
    ) -> list[PledgeRequest]:
        """Return the pledges of a user, an asset and a status, as far as these are said."""
        return self.pledge_manager.get_pledge_requests(user_id, asset, status)

    def get_pending_pledge_requests(self, user_id: str | None = None) -> list[PledgeRequest]:
        """Return the pledges that were sent and not answered."""
        return self.pledge_manager.get_pending_pledge_requests(user_id)

    # The vault.

    def add_asset_to_vault(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        chain: str,
        address: str,
        vault_id: str | None = None,
        status: str = "locked",
        pledge_request_id: str | None = None,
    ) -> VaultAsset:
        """Add a lot to the vault."""
        return self.vault_manager.add_asset(user_id, asset, amount, chain, address, vault_id, status, pledge_request_id)

    def lock_assets(self, user_id: str, asset: str, amount: Any, chain: str, address: str) -> list[VaultAsset]:
        """Add a locked lot, and return it in a list."""
        return self.vault_manager.lock_assets(user_id, asset, amount, chain, address)

    def unlock_assets(
        self, user_id: str, asset: str, amount: Any, credit_inventory: Mapping[str, Any] | None = None
    ) -> list[VaultAsset]:
        """Unlock an amount, and return the lots that moved.

        Raises:
            ValidationError: the policy refuses.

        """
        done, moved, reason = self.vault_manager.unlock_assets(user_id, asset, amount, credit_inventory)
        if not done:
            raise ValidationError(reason, field="amount", value=amount)
        return moved

    def get_vault_asset(self, vault_id: str) -> VaultAsset | None:
        """Return a lot."""
        return self.vault_manager.get_asset(vault_id)

    def get_vault_assets(
        self, user_id: str | None = None, asset: str | None = None, status: str | None = None
    ) -> list[VaultAsset]:
        """Return the lots of a user, an asset and a status, as far as these are said."""
        return self.vault_manager.get_assets(user_id, asset, status)

    def get_locked_assets(self, user_id: str | None = None, asset: str | None = None) -> list[VaultAsset]:
        """Return the locked lots."""
        return self.vault_manager.get_locked_assets(user_id, asset)

    def get_unlocked_assets(self, user_id: str | None = None, asset: str | None = None) -> list[VaultAsset]:
        """Return the unlocked lots."""
        return self.vault_manager.get_unlocked_assets(user_id, asset)

    def get_total_locked_amount(self, user_id: str, asset: str) -> Amount:
        """Return how much of a user's coins is locked."""
        return self.vault_manager.get_total_locked_amount(user_id, asset)

    def get_total_unlocked_amount(self, user_id: str, asset: str) -> Amount:
        """Return how much of a user's coins is unlocked."""
        return self.vault_manager.get_total_unlocked_amount(user_id, asset)

    def get_total_amount(self, user_id: str, asset: str) -> Amount:
        """Return how much there is of a user's coins."""
        return self.vault_manager.get_total_amount(user_id, asset)

    # Events.

    def create_event_router(self) -> EventRouter:
        """Return a router without routes."""
        return EventRouter()

    def publish_event(
        self, event_type: str | EventType, data: Mapping[str, Any], stream_name: str = EVENTS, source: str = "wsp"
    ) -> str:
        """Publish an event on the primary, and return the entry's id."""
        return publish_event_to_stream(self.connection_manager.get_wsp_client(), stream_name, event_type, data, source)
