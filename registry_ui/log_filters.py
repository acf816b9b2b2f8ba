"""Keeps the addresses of pages out of the log: one may be a key to set a password. Imported with the settings, so it
imports nothing of them."""

import logging
from typing import Any


def route_of(request: Any) -> str:
    """The name of the address, such as `approvals:request`; "" where there is no page."""
    found = getattr(request, "resolver_match", None)
    return str(found.view_name) if found is not None else ""


class WithoutPaths(logging.Filter):
    """For Django's own lines about answers: those below 500 say what `request` and `denied` say, with the path."""

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "request") and isinstance(record.args, tuple) and record.args:
            record.args = (*record.args[:-1], route_of(record.request) or "-")  # the path comes last
        return bool(getattr(record, "status_code", 500) >= 500)
