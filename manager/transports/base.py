class TransportDown(Exception):
    """The broker cannot be reached, or did not answer, just now; the text says why."""
