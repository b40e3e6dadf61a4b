"""`heliograph settle keys`: the private half of a key goes into a file, the public half to the other party."""

import os
from pathlib import Path

from heliograph.cli.settle_parties import key_line
from heliograph.errors import BadValue, ConfigError
from heliograph.model.settlement import name as checked
from heliograph.settlement.keyring import Signer


def keys(name: str, directory: Path) -> int:
    """Make a pair, keep the private key in NAME.pem, which its owner alone reads, and print the public one's line.

    Args:
        name: how envelopes call the key; a new key has a new name.
        directory: where the file goes.

    Raises:
        ConfigError: there is such a file already, or it cannot be written.

    """
    try:
        checked(name, "key")
    except BadValue as e:
        raise ConfigError(str(e)) from None
    path = directory / f"{name}.pem"
    if path.parent != directory:
        raise ConfigError(f"a key's name is its file's: {name!r} has a slash")
    signer = Signer.generate(name)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path} is there already, and is not replaced: choose a new name") from None
    except OSError as e:
        raise ConfigError(f"{path} cannot be written: {e.strerror}") from e
    with os.fdopen(descriptor, "wb") as file:
        file.write(signer.pem())
        file.flush()
        os.fsync(file.fileno())
    print(key_line(signer.public()))
    return 0
