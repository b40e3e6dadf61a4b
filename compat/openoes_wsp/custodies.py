"""Which custodian an object acts for, and its end of that custodian's link."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.custody import Custody
from openoes_core.errors import ConfigurationError
from openoes_core.places import CUSTODIAN, configuration_of, place_of

from heliograph.settlement.credit import Request
from heliograph.settlement.cycle import Cycle

Listener = Callable[[str, Request | Cycle], None]


class Custodies:
    """The ends of links that an object of the SDK has asked for, each opened when it is first needed.

    Args:
        connection_manager: where the two servers are.
        custodian_id: the custodian, or the settings; None: the settings' (`custodian_id`).
        config: the settings, where the second argument is the custodian.

    """

    def __init__(
        self,
        connection_manager: RedisConnectionManager,
        custodian_id: str | Configuration | Mapping[str, Any] | None = None,
        config: Configuration | Mapping[str, Any] | None = None,
    ) -> None:
        if custodian_id is not None and not isinstance(custodian_id, str):
            custodian_id, config = None, custodian_id
        self.connection_manager = connection_manager
        self.config = configuration_of(config)
        self._named = custodian_id or self.config.get("custodian_id")
        self._called: str | None = None
        self._opened: dict[str, tuple[Custody, Callable[[Request | Cycle], None]]] = {}
        self._listeners: list[Listener] = []
        self._opening = threading.Lock()
        self._closed = False
        self.when_opened: Callable[[], None] = lambda: None
        """Called after each that was opened."""
        connection_manager.before_close(self.close)

    def custodian(self, named: str | None) -> str:
        """Return who it is: whom the call names, else whom the object or the settings name, else the last one named."""
        if named:
            self._called = named
        return str(named or self._named or self._called or CUSTODIAN)

    def of(self, custodian: str) -> Custody:
        """Return a custodian's end of its link.

        Raises:
            OpenOESError: it cannot be opened.

        """
        with self._opening:
            if self._closed:
                raise ConfigurationError("it was closed", code="closed")
            new = custodian not in self._opened
            if new:
                manager = self.connection_manager
                custody = Custody.of(place_of(manager), manager.get_wsp_client(), custodian, self.config)

                def told(item: Request | Cycle) -> None:
                    for listener in list(self._listeners):
                        listener(custodian, item)

                custody.listen(told)
                self._opened[custodian] = (custody, told)
            opened = self._opened[custodian][0]
        if new:
            self.when_opened()
        return opened

    def listen(self, listener: Listener) -> None:
        """Be told of what answers changed; take note and return."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Be told no more; a second time does nothing."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def close(self) -> None:
        """Let go of all; a second time does nothing."""
        with self._opening:
            self._closed = True
            opened, self._opened = self._opened, {}
        for custody, told in opened.values():
            custody.unlisten(told)
            custody.release()
