"""Tells other programs what happened, by Standard Webhooks (standardwebhooks.com).

A projection of the ledger, which is the outbox: each webhook has a position in it, and moves on when its receiver has
taken a message. `messages` says what an event tells, `sending` sends what is next, `pruning` takes old attempts away.
"""

from approvals.webhooks_out.pruning import prune
from approvals.webhooks_out.sending import send

__all__ = ["prune", "send"]
