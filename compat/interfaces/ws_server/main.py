"""`python -m interfaces.ws_server.main`: the same program, flags and settings as `connector-wss`."""

from heliograph.cli.connector_wss import main

if __name__ == "__main__":
    main()
