"""Pays what people are owed. What is due is claimed with a lease, so that two workers never send the same, and a worker
that is killed leaves nothing behind for long. Told at least once: a kill between sending and noting it tells it twice.
"""

import os
import socket
import uuid

import structlog

from approvals.models import Notification
from approvals.notifications import chat, mailing
from mirror import clock

logger = structlog.get_logger(__name__)


def send() -> int:
    """Sends what is due by mail and to chats; returns how many notifications were told."""
    claim = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
    sent = 0
    Notification.objects.give_up_old()
    for way in (mailing, chat):
        try:
            sent += way.send_due(clock.now(), f"{claim}/{way.__name__.rpartition('.')[2]}")
        except Exception:  # what is wrong with one way keeps no one from being told the other
            logger.exception("notifications.not_sent", way=way.__name__)
    return sent
