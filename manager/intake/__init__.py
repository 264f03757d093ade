"""Orders that arrive as messages: each becomes one order, by the same rules as over HTTP."""
