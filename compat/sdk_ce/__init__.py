"""The SDK under its older name, Redis Mirror CE."""
