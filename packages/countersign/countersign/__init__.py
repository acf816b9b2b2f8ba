"""Countersign for programs: `Client`, the command `countersign`, and an MCP server. Needs click and requests alone.

from countersign import Client

request = Client().request("churn_predictor", "7", "Production", "AUC +2 points")
"""

from countersign.client import Client
from countersign.errors import CountersignError, Misconfigured, Refused, TimedOut, Unavailable
from countersign.version import __version__

__all__ = ["Client", "CountersignError", "Misconfigured", "Refused", "TimedOut", "Unavailable", "__version__"]
