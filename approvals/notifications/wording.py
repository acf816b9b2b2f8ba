"""The words of notifications: one line that says what is the matter, and sentences that say more. Pure."""

from dataclasses import dataclass
from datetime import UTC

from approvals.ledger import sentences
from approvals.models import AuditEvent, PromotionRequest

LONGEST_SAID = 2000
"""Characters of what a person said that a mail repeats; the page has all of it."""

LONGEST_TITLE = 300


@dataclass(frozen=True, slots=True)
class Words:
    title: str
    text: str = ""
    said: str = ""


def one_line(text: str) -> str:
    """Without line breaks and control characters: it becomes a header of a mail."""
    words = one_paragraph(text)
    return words if len(words) <= LONGEST_TITLE else words[: LONGEST_TITLE - 1] + "…"


def one_paragraph(text: str) -> str:
    """Names can have line breaks; sentences have none."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def subject(request: PromotionRequest) -> str:
    """`churn_predictor v7 to Production`."""
    return f"{request.version.model.name} v{request.version.number} to {request.target.name}"


def by_when(request: PromotionRequest) -> str:
    """`, by 10 December`: the day (UTC) on which it expires; with the year where that is not the one it began in."""
    until = request.expires_at.astimezone(UTC)
    year = "" if until.year == request.created_at.astimezone(UTC).year else f" {until.year}"
    return f", by {until:%-d %B}{year}"


def name_of(label: str) -> str:
    """`Remy Ortiz` of `Remy Ortiz <remy@example.com>`."""
    return label.partition(" <")[0]


def happened(event: AuditEvent) -> str:
    """`Remy Ortiz approved churn_predictor version 7 for Production.`"""
    return f"{name_of(event.actor_label)} {sentences.sentence(event)}."


def shortened(text: str) -> str:
    text = text.replace("\0", "")  # PostgreSQL stores none
    return text if len(text) <= LONGEST_SAID else text[:LONGEST_SAID].rstrip() + " …"


def of(event: AuditEvent, title: str, *more: str) -> Words:
    """The words for an event: what happened, then `more` sentences, then what was said with it."""
    text = shortened(" ".join([happened(event), *(sentence for sentence in more if sentence)]))
    return Words(one_line(title), text, shortened(sentences.said(event)))
