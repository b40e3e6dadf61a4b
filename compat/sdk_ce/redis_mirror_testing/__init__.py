"""Redis Mirror CE testing: `openoes_testing` under its older name; the objects are the same."""

from openoes_testing import MockRedisClient

__all__ = ["MockRedisClient"]
