"""The domain: frozen values, no I/O, one vocabulary for every venue."""
