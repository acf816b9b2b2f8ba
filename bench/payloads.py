"""What the events of a filled ledger say."""

from dataclasses import dataclass

from accounts.models import User
from approvals.evidence import canonical
from bench.bulk import Values
from bench.planned import COMMENT, INCIDENT_EVERY, PLACES, REASON, Asked, Model


@dataclass(frozen=True, slots=True)
class People:
    """Who asks, the two who review, who looks at the pages, and what stands for each in the ledger."""

    pat: User
    lee: User
    kim: User
    bench: User
    tokens: dict[int, str]


@dataclass(frozen=True, slots=True)
class Draft:
    """An event without its place in the chain."""

    action: str
    actor: int | None
    model: Model
    number: int
    asked: Asked | None = None
    allowed_by: str = ""
    payload: str = "{}"


class Payloads:
    """Of each action what the product writes, with seals of the length that they have."""

    def __init__(self, rule: Values, tokens: dict[int, str]) -> None:
        pat, lee, *_ = tokens.values()
        digest, at = "0123456789abcdef" * 2, "2026-03-01T12:00:00.000000+00:00"
        request = {
            **dict.fromkeys(("afterwards_at", "afterwards_by_id", "afterwards_due_at", "closed_at", "owner_id")),
            **dict.fromkeys(("fingerprint", "justification", "parts", "rule", "correlation_id"), digest),
            **dict.fromkeys(("created_at", "decided_at", "expires_at"), at),
            **dict.fromkeys(("afterwards_comment", "afterwards_verdict", "status_reason"), ""),
            **dict.fromkeys(("champion_id", "requester_id", "target_id", "version_id"), 1),
            "kind": "promotion",
            "status": "pending",
        }
        tenure = dict.fromkeys(("ended_at", "started_at", "version_created_at"), at)
        tenure |= dict.fromkeys(("files_digest", "model_name", "place", "note", "requested_by", "approved_by"), digest)
        check = dict.fromkeys(("fingerprint", "key", "kind", "reason", "terms", "title"), digest) | {"checked_at": at}
        review = dict.fromkeys(("fingerprint", "parts"), digest) | {"created_at": at, "signed_name": lee}
        delivery = {"model_name": digest, "half": digest, "created_at": at, "closed_at": at, "outcome": "applied"}

        def text(data: Values, **rows: Values) -> str:
            return canonical(data | {"sealed": {name: {"§pk": row} for name, row in rows.items()}})

        approved = {"comment": COMMENT, "findings": [], "batch": 0, "meaning": "", "proof_at": "", "signed_with": ""}
        approved |= {"fingerprint": "§fingerprint", "signed_name": lee, "opened_at": at, "seconds_on_page": 240}
        passed = {"effect": "block", "outcome": "pass", "overridden": False, "reason": "1 file, 3 bytes."}
        passed["title"] = "Model files are hashed"
        asked = {"asked": True, "changed": [], "voided": [], "fingerprint": "§fingerprint", "checks": [passed]}
        promoted = {"alias": "champion", "attempts": 1, "replaced": "§champion", "requested_by": pat}
        incident = {"incident": "§incident", "kind": "moved", "place": "Production", "before": [], "after": []}
        withdrawn = {"reason": "Another one is better.", "comment": "The recall is too low."}
        self._of = {
            "request.created": text({"champion": 1, "justification": REASON, "rule": rule}, promotionrequest=request),
            "request.checked": text(asked, checkresult=check, promotionrequest=request),
            "request.commented": text({"comment": COMMENT}, comment={"body": digest, "created_at": at}),
            "review.approved": text(approved, promotionrequest=request, review=review),
            "review.rejected": text(withdrawn, promotionrequest=request, review=review),
            "request.withdrawn": text(withdrawn, promotionrequest=request),
            "request.approved": text({"fingerprint": "§fingerprint"}, outboxentry=delivery, promotionrequest=request),
            "version.promoted": text(
                promoted | {"fingerprint": "§fingerprint", "stage": "Production"},
                outboxentry=delivery,
                promotionrequest=request,
                tenure=tenure,
            ),
            "version.replaced": text({"by": "§number", "how": "archived"}, promotionrequest=request),
            "incident.opened": text(incident, incident={"model_name": digest, "details": digest}),
            "incident.resolved": text(incident | {"reason": "A repair that was agreed on."}, incident={"at": at}),
        }
        self.found = {place: text({"place": place}, tenure=tenure) for place in PLACES}

    def of(self, action: str, asked: Asked) -> str:
        text = self._of[action].replace("§pk", str(asked.pk)).replace("§fingerprint", asked.fingerprint)
        if '"§' not in text:
            return text
        numbers = {"champion": asked.champion, "number": asked.number, "incident": asked.pk // INCIDENT_EVERY}
        for name, number in numbers.items():
            text = text.replace(f'"§{name}"', str(number))
        return text
