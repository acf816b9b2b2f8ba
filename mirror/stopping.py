"""Whether this worker was asked to end."""

import threading

is_stopping = threading.Event()
"""Set when this worker was asked to end: what could continue for long begins nothing more."""
