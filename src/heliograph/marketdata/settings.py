"""What a feed is allowed to do and how long it may take, in one frozen value."""

import msgspec


class FeedSettings(msgspec.Struct, frozen=True):
    """The numbers of one market's feed. The defaults are those of the OHLCV connector's document, where it has one."""

    inactivity_s: float = 3.0
    """A connection without a frame for this long makes the feed ask REST for the candles; it is not cut for that."""
    reconnect_delay_s: float = 1.0
    """The first bound of the random pause before a reconnect; it doubles with every failure in a row."""
    reconnect_delay_s_max: float = 60.0
    stable_s: float = 10.0
    """A connection that lasted this long makes the next pause a first one."""
    rest_concurrency_max: int = 8
    """Requests of one market under way at once."""
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    connect_timeout_s: float = 10.0
    symbols_per_socket_max: int = 50
    breaker_failures_max: int = 5
    breaker_recovery_s: float = 30.0
    breaker_recovery_s_max: float = 300.0
    breaker_half_open_calls: int = 1
    keep_max: int = 1000
    """Events in the keep-every lane at which the sockets are held back; one read of a socket may exceed it."""
    slots_max: int = 0
    """Slots of the latest-wins lane; 0: one for each instrument and kind, which is the natural bound."""
    dedupe_window_s: float = 120.0
    dedupe_entries_max: int = 10_000
    gap_grace_s: float = 3.0
    """How late a candle's final revision may come before it counts as missing; venues were seen two seconds late."""
    trade_grace_s: float = 0.5
    """How long trades may come out of order before the ones between count as missing."""
    backfill_retry_s: float = 1.0
    """The first pause before a range is asked again; it doubles."""
    backfill_attempts_max: int = 5
    """Answers that leave a range unfilled, and failures to answer, before it is reported as a gap."""
    backfill_outage_s_max: float = 60.0
    """How long closed candles wait behind a hole while REST cannot be reached; while none waits, it is asked again."""
    held_s_max: float = 10.0
    """Closed candles that have waited longer than this behind a hole make the feed unhealthy: REST is slow, or away."""
    backfill_candles_max: int = 20_000
    """Missing candles of one instrument and interval beyond which the oldest are reported as a gap."""
    backfill_trades_max: int = 20_000
    """Missing trades of one instrument beyond which they are reported as a gap."""
    trade_page_max: int = 1000
    """Trades that one request asks for."""
    held_max: int = 5000
    """Events of one instrument that wait for a hole before them to be filled."""
    refusals_max: int = 20
    """Undecodable frames in a row after which a connection is given up."""
    book_snapshot_interval_s: float = 0.1
    """The shortest time between two order book snapshots of one instrument."""
    overlap_s_max: float = 30.0
    """How long a planned reconnect waits for the next connection's first data before it closes the old one anyway."""
    drain_s_max: float = 5.0
    """How long a stop may wait for the consumer to take what is queued."""
    healthy_message_s_max: float = 60.0
    stream_stale_s_max: float = 60.0
    """A wanted stream that has been silent for this long, while its connection is alive, makes the feed unhealthy."""
    dedupe: bool = True
    """Off only in the tests that prove it necessary."""
    backfill: bool = True
    """Off only in the tests that prove it necessary."""
