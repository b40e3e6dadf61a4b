"""Trading venues as pure code: bytes in, events and effects out."""
