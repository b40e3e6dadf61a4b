"""OpenOES testing: a client without a server, generated messages, validators and scenarios."""

from openoes_testing.mock_redis import MockRedisClient

__all__ = ["MockRedisClient"]
