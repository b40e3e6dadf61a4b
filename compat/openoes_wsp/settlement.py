"""The custodian settles what the exchange reports."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.errors import SettlementError, ValidationError
from openoes_core.keys import KeyManager
from openoes_core.listening import Listening
from openoes_core.places import HOUSE, place_of
from openoes_core.publisher import StreamPublisher
from openoes_core.replies import Entry
from openoes_core.reports import SettlementConfirmation, SettlementReport, of_legs
from openoes_core.tailing import Tail

from heliograph.bus.link_keys import part
from heliograph.settlement import confirming
from heliograph.settlement.credit import Request
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.cycle import ANSWERED, Cycle
from openoes_wsp.custodies import Custodies

Callback = Callable[[SettlementReport], Any]
DECIDED_S: Final = 10.0
"""How long the last word on a cycle waits for the cycle's end."""
_log: Final = logging.getLogger(__name__)


class SettlementClient:
    """Receives the reports of the custodian's link, and confirms them.

    Args:
        connection_manager: where the two servers are.
        custodian_id: whose reports, or the settings, which may say so.
        auto_start_processor: whether reports are handed to the callbacks from now on, in a thread.
        config: the settings, where the second argument is the custodian.
        custodies: the custodian's ends of the links, where they are somebody else's to close.

    """

    def __init__(
        self,
        connection_manager: RedisConnectionManager,
        custodian_id: str | Configuration | None = None,
        auto_start_processor: bool = True,
        *,
        config: Configuration | None = None,
        custodies: Custodies | None = None,
    ) -> None:
        self.connection_manager = connection_manager
        self._custodies = custodies or Custodies(connection_manager, custodian_id, config)
        self._owned = custodies is None
        self._house = str(self._custodies.config.get("settlement.house", HOUSE))
        self._reports: dict[str, SettlementReport] = {}
        self._fresh: dict[str, SettlementReport] = {}
        self._handed: set[str] = set()
        self._changing = threading.RLock()
        self._processing = threading.RLock()
        self._decided = threading.Condition()
        self._decisions: set[str] = set()
        self._callbacks: list[Callback] = []
        self._refused: list[tuple[str, str]] = []
        self._news: Listening[None] = Listening("settlement reports", lambda _: self._hand_to_callbacks())
        self._tail: Tail | None = None
        self._custodies.listen(self._told)
        connection_manager.before_close(self.close)
        if auto_start_processor:
            self.start_settlement_processor()

    @property
    def failures(self) -> list[Exception]:
        """What callbacks raised lately."""
        return self._news.failures

    @property
    def refusals(self) -> list[tuple[str, str]]:
        """Reports and confirmations that were not taken: the id that they name, and why."""
        return list(self._refused)

    def start_settlement_processor(self) -> None:
        """Hand reports to the callbacks from now on, in a thread."""
        self._news.start()
        self._news.put(None)
        if place_of(self.connection_manager).one:
            self._face().start()

    def stop_settlement_processor(self) -> None:
        """Hand them out no more; the threads have ended when this returns."""
        if self._tail is not None:
            self._tail.stop()
        self._news.stop()

    def add_settlement_callback(self, callback: Callback) -> None:
        """Call it with each report once. What it raises is logged and kept, and it gets the report again."""
        self._callbacks.append(callback)
        self._news.put(None)

    def process_settlement_reports(
        self, callback: Callback | None = None, run_once: bool = False
    ) -> list[SettlementReport]:
        """Handle the reports that are there, and return those that had not been returned before.

        Args:
            callback: called with each; a report at which it raises is there the next time.
            run_once: the same whatever it says: this never waits.

        Raises:
            OpenOESError: the server refused, or is away.

        """
        del run_once
        with self._processing:
            self._look()
            with self._changing:
                fresh, self._fresh = self._fresh, {}
            taken = []
            for report in fresh.values():
                if self._handle(report, callback):
                    taken.append(report)
                else:
                    with self._changing:
                        self._fresh[report.report_id] = report
            return taken

    def confirm_settlement(
        self,
        settlement_id: str,
        status: str = "completed",
        details: Mapping[str, Any] | None = None,
        *,
        user_id: str | None = None,
    ) -> bool:
        """Confirm a report or refuse it, and tell whether that could be done; why not is in `refusals`.

        Args:
            settlement_id: the report.
            status: `completed` or `failed`.
            details: `assets_transferred` with every leg, or `failure_reason`.
            user_id: whose report it is.

        Raises:
            OpenOESError: the server refused, or is away.

        """
        self._look()
        report = self._reports.get(settlement_id)
        reason = self._fault(report, status, details or {}, user_id)
        if report is None or reason:
            return self._refuse(settlement_id, reason)
        if report.status == status:
            return True
        try:
            decided = self._say(report, status, details)
        except SettlementError as e:
            if e.code in ("outcome_unknown", "ended", "fenced"):
                raise
            return self._refuse(settlement_id, e.message)
        with self._changing:
            if not decided and report.is_pending():
                report.mark_processing()
            elif decided and report.cycle is None and status == "completed":
                report.mark_completed()
            elif decided and report.cycle is None:
                report.mark_failed(str((details or {}).get("failure_reason", "")))
        return True

    def get_settlement_report(self, settlement_id: str) -> SettlementReport | None:
        """Return a report, None if there is none of this id."""
        return self._reports.get(settlement_id)

    def get_settlement_reports(self, user_id: str | None = None, status: str | None = None) -> list[SettlementReport]:
        """Return the reports of a user and a status, as far as these are said."""
        found = list(self._reports.values())
        return [each for each in found if user_id in (None, each.user_id) and status in (None, each.status)]

    def get_pending_settlement_reports(self, user_id: str | None = None) -> list[SettlementReport]:
        """Return the reports that nobody has worked on."""
        return self.get_settlement_reports(user_id, "pending")

    def get_processing_settlement_reports(self, user_id: str | None = None) -> list[SettlementReport]:
        """Return the reports that are being worked on."""
        return self.get_settlement_reports(user_id, "processing")

    def get_completed_settlement_reports(self, user_id: str | None = None) -> list[SettlementReport]:
        """Return the reports that settled."""
        return self.get_settlement_reports(user_id, "completed")

    def get_failed_settlement_reports(self, user_id: str | None = None) -> list[SettlementReport]:
        """Return the reports that did not settle."""
        return self.get_settlement_reports(user_id, "failed")

    def close(self) -> None:
        """End, and leave no thread; a second time does nothing."""
        self.stop_settlement_processor()
        self._custodies.unlisten(self._told)
        if self._owned:
            self._custodies.close()

    def _told(self, _: str, item: Request | Cycle) -> None:
        if isinstance(item, Cycle):
            if item.state in ANSWERED:
                with self._decided:
                    self._decisions.add(item.id)
                    self._decided.notify_all()
            self._news.put(None)

    def _hand_to_callbacks(self) -> None:
        """Give what is new to the callbacks; without any it waits for `process_settlement_reports`."""
        with self._processing:
            self._look()
            with self._changing:
                fresh = [each for each in self._fresh.values() if each.report_id not in self._handed]
            for report in fresh:
                if self._callbacks:
                    self._handle(report, None)

    def _handle(self, report: SettlementReport, callback: Callback | None) -> bool:
        """Give a report to whom it concerns, once, and remember it on the primary."""
        if report.report_id not in self._handed:
            for each in list(self._callbacks):
                if not self._news.guarded(each, report):
                    return False
        if callback is not None and not self._news.guarded(callback, report):
            return False
        if self._callbacks or callback is not None:
            with self._changing:
                if report.is_pending():
                    report.mark_processing()
            self._handed.add(report.report_id)
        client = self.connection_manager.get_wsp_client()
        client.hset(self._delivered_key(), report.report_id, "1")
        return True

    def _look(self) -> None:
        """Note the reports that are there: those of the link, and on one server those in the seeds' own fields."""
        custodian = self._custodies.custodian(None)
        custody = self._custodies.of(custodian)

        async def all_cycles(service: Custodian) -> list[Cycle]:
            found = [await service.cycle(cycle_id) for cycle_id in await service.cycle_ids()]
            return [cycle for cycle in found if cycle is not None]

        for cycle in custody.call(all_cycles):
            for report in self._of_cycle(custodian, cycle):
                self._note(report)
        if place_of(self.connection_manager).one:
            self._face().once()

    def _of_cycle(self, custodian: str, cycle: Cycle) -> list[SettlementReport]:
        reports = []
        for user in dict.fromkeys(leg.user for leg in cycle.legs if leg.user != self._house):
            legs = [leg for leg in cycle.legs if leg.user == user]
            report_id = f"settlement-{cycle.id}-{user}"
            made = of_legs(report_id, user, custodian, cycle.cut_off_ns, [(leg.asset, leg.net) for leg in legs])
            if cycle.state in ANSWERED:
                settled = all(leg.state == "settled" for leg in legs)
                if settled:
                    made.mark_completed()
                else:
                    made.mark_failed(next(leg.reason or leg.code for leg in legs if leg.state != "settled"))
            reports.append(made)
        return reports

    def _note(self, report: SettlementReport) -> None:
        with self._changing:
            known = self._reports.get(report.report_id)
            if known is None:
                self._reports[report.report_id] = report
                client = self.connection_manager.get_wsp_client()
                if not client.hexists(self._delivered_key(), report.report_id):
                    self._fresh[report.report_id] = report
            elif report.is_completed() and not known.is_failed():
                known.mark_completed()
            elif report.is_failed() and not known.is_completed():
                known.mark_failed(report.failure_reason or "")

    def _face(self) -> Tail:
        if self._tail is None:
            client = self.connection_manager.get_replica_client()
            self._tail = Tail(client, KeyManager.settlement_report_stream(), self._read)
        return self._tail

    def _read(self, entry: Entry) -> None:
        try:
            report = SettlementReport.from_stream_data(entry[1])
        except ValidationError as e:
            _log.warning("a settlement report was refused: %s", e)
            self._refused.append((entry[1].get("report_id", ""), e.message))
            return
        if report.cycle is not None:
            return  # The link itself brings it, signed.
        if report.custodian_id not in (None, "", self._custodies.custodian(None)):
            return
        with self._changing:
            new = report.report_id not in self._reports
        self._note(report)
        if new:
            self._news.put(None)

    def _fault(
        self, report: SettlementReport | None, status: str, details: Mapping[str, Any], user_id: str | None
    ) -> str:
        if report is None:
            return "there is no such report"
        if status not in ("completed", "failed"):
            return f"a settlement is completed or failed, not {status}"
        if user_id not in (None, report.user_id):
            return f"the report is {report.user_id}'s, not {user_id}'s"
        moved = details.get("assets_transferred") if status == "completed" else None
        if moved is not None and (wrong := report.differs(moved)):
            return wrong
        if report.status in ("completed", "failed") and report.status != status:
            return f"it is {report.status}"
        return ""

    def _say(self, report: SettlementReport, status: str, details: Mapping[str, Any] | None) -> bool:
        """Give one's word, and tell whether that decided; a cycle is decided with the last user's."""
        cycle_id = report.cycle
        if cycle_id is None:
            moved = [{"asset_id": asset, "amount": abs(net)} for asset, net in report.legs]
            told = dict(details or ({"assets_transferred": moved} if status == "completed" else {}))
            confirmation = SettlementConfirmation(report.report_id, report.user_id, int(time.time()), status, told)
            client = self.connection_manager.get_wsp_client()
            StreamPublisher(client, KeyManager.settlement_confirmation_stream()).publish(confirmation.to_stream_data())
            return True
        reason = str((details or {}).get("failure_reason", ""))

        async def say(custodian: Custodian) -> Cycle:
            return await confirming.say(
                custodian,
                cycle_id,
                report.user_id,
                completed=status == "completed",
                reason=reason,
                without=(self._house,),
            )

        custody = self._custodies.of(self._custodies.custodian(None))
        cycle = custody.call(say)
        if cycle.until_ns > time.time_ns():
            return False
        with self._decided:
            self._decided.wait_for(lambda: cycle_id in self._decisions, DECIDED_S)
        self._look()
        return report.is_completed() or report.is_failed()

    def _refuse(self, settlement_id: str, reason: str) -> bool:
        _log.warning("the confirmation of %s was refused: %s", settlement_id, reason)
        self._refused.append((settlement_id, reason))
        return False

    def _delivered_key(self) -> str:
        return f"link:{part(self._custodies.custodian(None))}:delivered"
