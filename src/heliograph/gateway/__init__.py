"""One WebSocket port for everybody: subscriptions, snapshots, fan-out; and the probes beside it."""
