"""The WebSocket server under the document's module name."""
