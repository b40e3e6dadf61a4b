"""What a scrape says."""

from prometheus_client import CollectorRegistry, generate_latest

from heliograph.metrics import FeedCollector, FeedMetrics, LinkCollector, LinkMetrics, WorkerMetrics

DOCUMENTED = {
    "connector_quotes_processed_total",
    "connector_quote_latency_seconds_bucket",
    "connector_active_connections",
    "connector_connection_errors_total",
    "connector_reconnections_total",
    "connector_rest_backfills_total",
    "connector_queue_depth_closed",
    "connector_queue_depth_open",
    "connector_queue_blocking_events_total",
    "connector_circuit_breaker_state",
    "connector_duplicates_filtered_total",
    "connector_build_info",
}


def scrape(*feeds: FeedMetrics) -> dict[str, str]:
    registry = CollectorRegistry()
    collector = FeedCollector()
    for feed in feeds:
        collector.add(feed)
    registry.register(collector)
    lines = generate_latest(registry).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_every_documented_series_is_there_under_both_names() -> None:
    feed = FeedMetrics("binance", "spot")
    feed.connection_errors["refused"] += 1
    names = {series.split("{")[0] for series in scrape(feed)}
    assert names >= DOCUMENTED
    assert names >= {n.replace("connector_", "heliograph_") for n in DOCUMENTED - {"connector_build_info"}}


def test_a_count_shows_its_labels() -> None:
    feed = FeedMetrics("binance", "usdm")
    feed.quotes_closed = 3
    feed.reconnections = 2
    series = scrape(feed)
    assert series['connector_quotes_processed_total{contract_type="usdm",exchange="binance",is_closed="True"}'] == "3.0"
    assert series['heliograph_reconnections_total{contract_type="usdm",exchange="binance"}'] == "2.0"
    assert series['connector_build_info{architecture="clean",version="0.2.0"}'] == "1.0"


def test_latency_buckets_are_cumulative() -> None:
    feed = FeedMetrics("binance", "spot")
    feed.observe_latency(0.001, 5)
    feed.observe_latency(0.3, 2)
    feed.observe_latency(60.0, 1)
    series = scrape(feed)
    labels = 'contract_type="spot",exchange="binance"'
    assert series[f'connector_quote_latency_seconds_bucket{{{labels},le="0.001"}}'] == "5.0"
    assert series[f'connector_quote_latency_seconds_bucket{{{labels},le="0.5"}}'] == "7.0"
    assert series[f'connector_quote_latency_seconds_bucket{{{labels},le="+Inf"}}'] == "8.0"
    assert series[f"connector_quote_latency_seconds_count{{{labels}}}"] == "8.0"


def test_a_feed_that_is_removed_is_no_longer_shown() -> None:
    feed = FeedMetrics("binance", "spot")
    collector = FeedCollector()
    collector.add(feed)
    collector.remove(feed)
    assert not any(sample for metric in collector.collect() for sample in metric.samples if metric.type != "info")


def test_a_feed_worker_is_shown_where_there_is_one() -> None:
    registry, collector = CollectorRegistry(), FeedCollector()
    registry.register(collector)
    assert b"heliograph_feed_workers" not in generate_latest(registry)
    collector.worker = WorkerMetrics()
    collector.worker.workers = 3
    collector.worker.shards["binance", "spot"] = 11
    collector.worker.moves["lost"] += 2
    lines = generate_latest(registry).decode().splitlines()
    assert "heliograph_feed_workers 3.0" in lines
    assert 'heliograph_feed_shards{contract_type="spot",exchange="binance"} 11.0' in lines
    assert 'heliograph_feed_shard_moves_total{outcome="lost"} 2.0' in lines
    assert 'heliograph_feed_shard_moves_total{outcome="taken"} 0.0' in lines


def test_both_ends_of_a_link_are_told_apart() -> None:
    def end(side: str) -> LinkMetrics:
        known = {"unacknowledged": 3, "unpublished": 2, "waiting": 1, "reloads": 4}
        return LinkMetrics(side, "acme", halted=side == "exchange", refused={"bad_signature": 5}, **known)

    registry = CollectorRegistry()
    registry.register(LinkCollector([lambda: end("custodian"), lambda: end("exchange")]))
    lines = generate_latest(registry).decode().splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert found['heliograph_settlement_halted{link="acme",side="custodian"}'] == "0.0"
    assert found['heliograph_settlement_halted{link="acme",side="exchange"}'] == "1.0"
    assert found['heliograph_settlement_unacknowledged{link="acme",side="custodian"}'] == "3.0"
    assert found['heliograph_settlement_unpublished{link="acme",side="custodian"}'] == "2.0"
    assert found['heliograph_settlement_waiting{link="acme",side="custodian"}'] == "1.0"
    assert found['heliograph_settlement_reloads_total{link="acme",side="exchange"}'] == "4.0"
    refused = 'heliograph_settlement_refused_total{code="bad_signature",link="acme",side="custodian"}'
    assert found[refused] == "5.0"
