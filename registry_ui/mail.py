"""What `EMAIL_URL=none` means: a process that sends no mail, and says so where it would have to."""

from collections.abc import Sequence
from typing import Any

from django.core.mail.backends.base import BaseEmailBackend


class NoMail(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[Any]) -> int:  # noqa: ARG002
        """Raises RuntimeError always."""
        raise RuntimeError("EMAIL_URL is none in this process, so it cannot send mail.")
