r"""RESP, the wire format of Valkey and Redis, as far as the bus writes it itself.

A request is an array of bulk strings: `*<count>\r\n`, and for each argument `$<length>\r\n<bytes>\r\n`.
Source: https://valkey.io/topics/protocol/
"""

from typing import Final

CRLF: Final = b"\r\n"


def bulk(data: bytes) -> bytes:
    r"""Return one argument, as in `$4\r\nPING\r\n`."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def command(*arguments: bytes | str | int) -> bytes:
    """Return one whole request.

    Args:
        arguments: the command's name and what follows; text goes as UTF-8, integers in decimal.

    """
    return b"*%d\r\n" % len(arguments) + b"".join([bulk(_as_bytes(argument)) for argument in arguments])


def prefix(count: int, *arguments: bytes) -> bytes:
    """Return the start of a request of `count` arguments, of which the first ones are given.

    The caller appends the remaining arguments, each as `bulk` renders it.
    """
    return b"*%d\r\n" % count + b"".join(map(bulk, arguments))


def _as_bytes(argument: bytes | str | int) -> bytes:
    if isinstance(argument, bytes):
        return argument
    return b"%d" % argument if isinstance(argument, int) else argument.encode()
