"""From a venue's sockets to whoever wants market data: complete, in order, once."""
