"""The exchange reports what its users traded, and hears what settled."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from openoes_core.amount import Amount
from openoes_core.booking import Booking
from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.errors import OpenOESError, SettlementError, ValidationError
from openoes_core.keys import KeyManager
from openoes_core.listening import Listening
from openoes_core.places import configuration_of, place_of
from openoes_core.publisher import StreamPublisher
from openoes_core.replies import Entry
from openoes_core.reports import (
    SettlementConfirmation,
    SettlementReport,
    iso,
    new_cycle_id,
    new_report_id,
    of_legs,
)
from openoes_core.tailing import Tail

from heliograph.model.settlement import amount_text
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.link.exchange import Row
from heliograph.settlement.netting import Change
from openoes_exchange.accounts import AccountIntegration
from openoes_exchange.inventory import CreditInventoryManager

Callback = Callable[[SettlementConfirmation], Any]
_log: Final = logging.getLogger(__name__)


class SettlementManager:
    """Makes reports, and takes the confirmations.

    Args:
        connection_manager: where the two servers are; its `close` ends this as well.
        inventory_manager: the settings; a manager of inventories is taken for compatibility, and not needed.
        auto_start_processor: whether confirmations are handed to the callbacks from now on, in a thread.
        config: the settings, where the second argument is a manager of inventories.
        booking: both ends of the links, where they are somebody else's to close.
        accounts: the exchange's accounts, where they are somebody else's.

    """

    def __init__(
        self,
        connection_manager: RedisConnectionManager,
        inventory_manager: CreditInventoryManager | Configuration | Mapping[str, Any] | None = None,
        auto_start_processor: bool = True,
        *,
        config: Configuration | Mapping[str, Any] | None = None,
        booking: Booking | None = None,
        accounts: AccountIntegration | None = None,
    ) -> None:
        if isinstance(inventory_manager, Configuration | Mapping):
            inventory_manager, config = None, inventory_manager
        self.connection_manager = connection_manager
        self.inventory_manager = inventory_manager
        self.config = configuration_of(config)
        self._place = place_of(connection_manager)
        self._owned = booking is None
        self._booking = booking or Booking(self._place, connection_manager.get_wsp_client(), self.config)
        self._accounts = accounts or AccountIntegration(connection_manager, self.config)
        self._reports: dict[str, SettlementReport] = {}
        self._confirmations: dict[str, SettlementConfirmation] = {}
        self._fresh: list[SettlementConfirmation] = []
        self._refused: list[tuple[str, str]] = []
        self._changing = threading.RLock()
        self._applying = threading.RLock()
        self._arrived = threading.Condition()
        self._running = False
        self._callbacks: list[Callback] = []
        self._news: Listening[SettlementConfirmation] = Listening("settlement confirmations", self._hand_out)
        self._tail: Tail | None = None
        self._listening = False
        connection_manager.before_close(self.close)
        if auto_start_processor:
            self.start_confirmation_processor()

    @property
    def failures(self) -> list[Exception]:
        """What callbacks raised lately."""
        return self._news.failures

    @property
    def refusals(self) -> list[tuple[str, str]]:
        """Confirmations that were not taken: the report that they name, and why."""
        return list(self._refused)

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
        """Report what a user bought and sold.

        On one server of both sides it is the report itself that is confirmed, and then changes the credit. Over a link
        of two servers it is booked as trades with the house, and settles as a cycle of its own.

        Raises:
            ValidationError: an amount is none, or not positive.
            OpenOESError: the credit does not cover it; a server refused, or is away.

        """
        now_s = int(time.time())
        report = SettlementReport(
            new_report_id(user_id),
            user_id,
            now_s,
            eod_time or iso(now_s),
            assets_bought,
            assets_sold,
            net_position,
            settlement_instructions,
        )
        self._listen()
        dealing = self._booking.dealing()
        report.custodian_id = self._routed(user_id, [asset for asset, _ in report.legs])
        if publish and not self._place.one:
            house, at_ns = dealing.house, time.time_ns()
            custodian = report.custodian_id or self._booking.custodian()
            self._trade(custodian, report.report_id, user_id, report.legs, house, at_ns)
            made = self._cycle(custodian)
            mine = next((each for each in made if each.user_id == user_id), None)
            if mine is not None:
                return mine
        with self._changing:
            self._reports[report.report_id] = report
        if publish:
            stream = KeyManager.settlement_report_stream()
            StreamPublisher(self.connection_manager.get_replica_client(), stream).publish(report.to_stream_data())
        return report

    def generate_settlement_reports(
        self,
        user_data: Mapping[str, Mapping[str, Any]] | None = None,
        eod_time: str | None = None,
        publish: bool = True,
    ) -> list[SettlementReport]:
        """Report each user's data; without any, whatever the accounts' changes since the last cycle come to.

        Raises:
            ValidationError: an amount is none, or not positive.
            OpenOESError: a server refused, or is away.

        """
        if user_data is not None:
            return [
                self.generate_settlement_report(
                    user,
                    data.get("assets_bought", ()),
                    data.get("assets_sold", ()),
                    data.get("net_position", {}),
                    data.get("settlement_instructions", {}),
                    eod_time,
                    publish,
                )
                for user, data in user_data.items()
            ]
        self._listen()
        self._take_accounts()
        return [report for custodian in self._booking.dealing().custodians for report in self._cycle(custodian)]

    def process_settlement_confirmations(
        self, callback: Callback | None = None, run_once: bool = False
    ) -> list[SettlementConfirmation]:
        """Hand out the confirmations that have come since the last time, and return them.

        Args:
            callback: called with each.
            run_once: whether one pass is enough; else, with a callback, the first one is waited for.

        Raises:
            OpenOESError: a server is away.

        """
        self._listen()
        if self._place.one:
            self._face().once()
        with self._arrived:
            if callback is not None and not run_once and not self._fresh:
                self._running = True
                self._arrived.wait_for(lambda: self._fresh or not self._running)
            taken, self._fresh = self._fresh, []
        for confirmation in taken:
            if callback is not None:
                self._news.guarded(callback, confirmation)
        return taken

    def add_confirmation_callback(self, callback: Callback) -> None:
        """Call it with each confirmation that is taken; what it raises is logged and kept in `failures`."""
        self._callbacks.append(callback)

    def start_confirmation_processor(self) -> None:
        """Hand confirmations out from now on, in a thread."""
        self._listen()
        self._news.start()
        if self._place.one:
            self._face().start()

    def stop_confirmation_processor(self) -> None:
        """Hand them out no more; the threads have ended when this returns."""
        with self._arrived:
            self._running = False
            self._arrived.notify_all()
        if self._tail is not None:
            self._tail.stop()
        self._news.stop()

    def get_settlement_report(self, settlement_id: str) -> SettlementReport | None:
        """Return a report that was made here, None if there is none of this id."""
        return self._reports.get(settlement_id)

    def get_settlement_reports(self, user_id: str | None = None, status: str | None = None) -> list[SettlementReport]:
        """Return the reports of a user and a status, as far as these are said."""
        found = list(self._reports.values())
        return [each for each in found if user_id in (None, each.user_id) and status in (None, each.status)]

    def get_settlement_confirmation(self, settlement_id: str) -> SettlementConfirmation | None:
        """Return the confirmation of a report, None while there is none."""
        return self._confirmations.get(settlement_id)

    def get_settlement_confirmations(
        self, user_id: str | None = None, status: str | None = None
    ) -> list[SettlementConfirmation]:
        """Return the confirmations of a user and a status, as far as these are said."""
        found = list(self._confirmations.values())
        return [each for each in found if user_id in (None, each.user_id) and status in (None, each.status)]

    def rename(self, report: SettlementReport, settlement_id: str) -> SettlementReport:
        """Give a report that was not published an id of the caller's."""
        with self._changing:
            self._reports.pop(report.report_id, None)
            report.report_id = settlement_id
            self._reports[settlement_id] = report
        return report

    def close(self) -> None:
        """End, and leave no thread; a second time does nothing."""
        self.stop_confirmation_processor()
        if self._listening:
            self._listening = False
            self._booking.dealing().unlisten(self._told)
        if self._owned:
            self._booking.close()

    # Reports.

    def _take_accounts(self) -> None:
        """Book what the accounts' owners traded with the house, each change once; what is not covered stays."""
        dealing, wallets = self._booking.dealing(), self._accounts.wallets
        done = []
        for traded in wallets.untaken():
            try:
                custodian = self._routed(traded.user, [traded.asset]) or self._booking.custodian()
                self._trade(
                    custodian,
                    f"account-{traded.n}",
                    traded.user,
                    [(traded.asset, Amount(traded.amount))],
                    dealing.house,
                    traded.at_ns,
                )
            except OpenOESError as e:
                _log.warning("what %s traded in %s does not settle now: %s", traded.user, traded.asset, e)
                continue
            done.append(traded.n)
        wallets.taken(done)

    def _trade(
        self,
        custodian: str,
        reference: str,
        user: str,
        legs: Sequence[tuple[str, Any]],
        house: str,
        at_ns: int,
    ) -> None:
        changes = []
        for number, (asset, net) in enumerate(legs):
            changes.append(Change(f"{reference}/{number}/u"[-128:], user, asset, Decimal(net), at_ns))
            changes.append(Change(f"{reference}/{number}/h"[-128:], house, asset, -Decimal(net), at_ns))
            if net > 0 and self._place.one:
                self._provide(custodian, house, asset, Decimal(net))
        self._booking.dealing().call(custodian, lambda link: link.trade(changes))

    def _provide(self, custodian: str, house: str, asset: str, wanted: Decimal) -> None:
        """On one server the house is nobody's: it has whatever a user buys of it."""
        usable = self._booking.dealing().call(custodian, lambda link: link.account(house, asset)).usable
        if usable < wanted:
            self._booking.change(house, asset, wanted - usable, None, custodian)

    def _cycle(self, custodian: str) -> list[SettlementReport]:
        dealing = self._booking.dealing()
        cycle_id = new_cycle_id()
        try:
            cycle = dealing.call(custodian, lambda link: link.report(cycle_id))
        except SettlementError as e:
            if e.code == "nothing_to_settle":
                return []
            raise
        reports = []
        for user in dict.fromkeys(leg.user for leg in cycle.legs if leg.user != dealing.house):
            legs = [(leg.asset, leg.net) for leg in cycle.legs if leg.user == user]
            reports.append(of_legs(f"settlement-{cycle.id}-{user}", user, custodian, cycle.cut_off_ns, legs))
        with self._changing:
            for report in reports:
                self._reports[report.report_id] = report
        now = dealing.call(custodian, lambda link: link.cycle(cycle.id))
        if now is not None and now.state != "proposed":
            self._told(custodian, now)
        return reports

    def _routed(self, user: str, assets: Sequence[str]) -> str | None:
        """Return the custodian on whose credit a user trades, else the only one there is; None if nobody can tell."""
        dealing = self._booking.dealing()
        for asset in assets:
            for custodian, account in dealing.account(user, asset).items():
                if account != type(account)():
                    return custodian
        known = dealing.custodians
        named = self.config.get("custodian_id")
        return str(named) if named else known[0] if len(known) == 1 else None

    # Confirmations.

    def _listen(self) -> None:
        with self._changing:
            if not self._listening:
                self._listening = True
                self._booking.dealing().listen(self._told)

    def _told(self, custodian: str, item: Row | Cycle) -> None:
        """Take the custodian's word on a cycle, signed, as it came over the link."""
        if not isinstance(item, Cycle):
            return
        house = self._booking.dealing().house
        for user in dict.fromkeys(leg.user for leg in item.legs if leg.user != house):
            legs = [leg for leg in item.legs if leg.user == user]
            report_id = f"settlement-{item.id}-{user}"
            made = of_legs(report_id, user, custodian, item.cut_off_ns, [(leg.asset, leg.net) for leg in legs])
            with self._changing:
                report = self._reports.setdefault(report_id, made)
            failed = [leg for leg in legs if leg.state != "settled"]
            moved = [{"asset_id": leg.asset, "amount": amount_text(abs(leg.net))} for leg in legs if leg not in failed]
            details: dict[str, Any] = {"assets_transferred": moved, "timestamp": str(int(time.time()))}
            if failed:
                details["failure_reason"] = failed[0].reason or failed[0].code or failed[0].state
            status = "failed" if failed else "completed"
            self._take(report, SettlementConfirmation(report.report_id, user, int(time.time()), status, details))

    def _face(self) -> Tail:
        """On one server, confirmations in the seeds' own fields are taken as well."""
        if self._tail is None:
            client = self.connection_manager.get_replica_client()
            self._tail = Tail(client, KeyManager.settlement_confirmation_stream(), self._read)
        return self._tail

    def _read(self, entry: Entry) -> None:
        try:
            confirmation = SettlementConfirmation.from_stream_data(entry[1])
        except ValidationError as e:
            self._refuse(entry[1].get("settlement_id", ""), e.message)
            return
        report = self._reports.get(confirmation.settlement_id)
        if report is None or report.cycle is not None:
            return  # Somebody else's, or one that the link itself brings.
        with self._applying:
            if confirmation.settlement_id in self._confirmations:
                known = self._confirmations[confirmation.settlement_id]
                if known.status != confirmation.status:
                    self._refuse(confirmation.settlement_id, f"it is {known.status}")
                return
            reason = self._fault(report, confirmation) or self._apply(report, confirmation)
            if reason:
                self._refuse(confirmation.settlement_id, reason)
            else:
                self._take(report, confirmation)

    def _fault(self, report: SettlementReport, confirmation: SettlementConfirmation) -> str:
        if confirmation.user_id != report.user_id:
            return f"the report is {report.user_id}'s, not {confirmation.user_id}'s"
        if confirmation.status not in ("completed", "failed"):
            return f"a settlement is completed or failed, not {confirmation.status}"
        if confirmation.is_failed():
            return ""
        if report.is_failed():
            return "it is failed"
        return report.differs((confirmation.details or {}).get("assets_transferred", ()))

    def _apply(self, report: SettlementReport, confirmation: SettlementConfirmation) -> str:
        """Change the credit by what settled: all of it, or nothing and why not."""
        if confirmation.is_failed():
            return ""
        custodian = report.custodian_id or self._booking.custodian()
        custody = self._booking.custody(custodian)
        nets: dict[str, Decimal] = {}
        for asset, net in report.legs:
            nets[asset] = nets.get(asset, Decimal(0)) + Decimal(net)
        for asset, moved in nets.items():
            credit = custody.position(report.user_id, asset).granted
            known = self._booking.find(custodian, report.reference(asset), report.user_id, asset, moved)
            if moved < 0 and credit < -moved and known is None:
                return f"the credit is {credit} {asset}, less than {-moved}"
        try:
            for asset, moved in sorted(nets.items(), key=lambda item: item[1]):
                self._booking.change(report.user_id, asset, moved, report.reference(asset), custodian)
        except ValidationError as e:
            return e.message
        return ""

    def _take(self, report: SettlementReport, confirmation: SettlementConfirmation) -> None:
        with self._changing:
            if report.report_id in self._confirmations:
                return
            self._confirmations[report.report_id] = confirmation
            if confirmation.is_completed():
                report.mark_completed()
            else:
                report.mark_failed(str((confirmation.details or {}).get("failure_reason", "")))
        with self._arrived:
            self._fresh.append(confirmation)
            self._arrived.notify_all()
        self._news.put(confirmation)

    def _refuse(self, settlement_id: str, reason: str) -> None:
        _log.warning("the confirmation of %s was refused: %s", settlement_id, reason)
        self._refused.append((settlement_id, reason))

    def _hand_out(self, confirmation: SettlementConfirmation) -> None:
        for callback in list(self._callbacks):
            self._news.guarded(callback, confirmation)
