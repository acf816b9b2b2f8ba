"""Pays what people are owed. What is due is claimed with a lease, so that two workers never send the same, and a worker
that is killed leaves nothing behind for long. Told at least once: a kill between sending and noting it tells it twice.
"""

import os
import socket
import uuid

from django.utils import timezone

from approvals.notifications import chat, mailing


def send() -> int:
    """Sends what is due by mail and to chats; returns how many notifications were told."""
    claim = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
    return mailing.send_due(timezone.now(), claim) + chat.send_due(timezone.now(), claim)
