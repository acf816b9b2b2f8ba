"""What the tests of pages share: the note in a description, and the visible text of a page."""

import html
import re

from approvals.evidence import approval_note
from approvals.models import PromotionRequest
from approvals.workflow import approver_labels


def note_of(request: PromotionRequest) -> approval_note.Note:
    """What the delivery writes into the description."""
    assert request.decided_at is not None
    return approval_note.Note(request.pk, request.target.name, approver_labels(request), request.decided_at)


def text_of(page: str) -> str:
    """What a person reads, with single spaces."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).strip()
