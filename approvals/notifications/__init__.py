"""Nothing waits in silence: who is told of what happened, how they want it, and the mails and messages that say so.

A projection of the ledger: no verb knows of it. `collecting` reads the events after its cursor and writes down who is
owed what (`rules` says who, `wording` in which words), `reminding` adds what time brings, `sending` pays it by mail
and chat, `reading` notes what people have seen on the pages. What is owed is in the database, so a mail server that
is away delays nothing but its mails.
"""

from approvals.notifications.collecting import collect
from approvals.notifications.pruning import prune
from approvals.notifications.reading import mark_all_read, mark_read, mark_read_of
from approvals.notifications.reminding import remind
from approvals.notifications.sending import send
from approvals.notifications.subscribing import mute, subscribe

__all__ = ["collect", "mark_all_read", "mark_read", "mark_read_of", "mute", "prune", "remind", "send", "subscribe"]
