"""Reads requests back from their bytes, as a server does."""

import hiredis


def parsed(payload: bytes) -> list[list[bytes]]:
    """What a server makes of the bytes: hiredis reads a request as it reads an array of bulk strings."""
    reader = hiredis.Reader()
    reader.feed(payload)
    found = []
    while (request := reader.gets()) is not False:
        found.append(request)
    assert not reader.has_data()
    return found
