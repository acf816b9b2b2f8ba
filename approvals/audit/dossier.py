"""Everything about one delivery or incident: the files of its folder in an archive. One file is in memory at a time."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

import components
from approvals import ledger, tenures
from approvals.audit import certificates
from approvals.audit.population import Change
from approvals.audit.units import Unit
from approvals.ledger import pseudonyms
from approvals.models import AuditEvent, Incident, PolicyVersion, PromotionRequest, Review, Tenure
from mirror.models import Exhibit

_STYLES = Path(components.__file__).parent / "static" / "certificate.css"
_BASICS = (
    ":root { --tblr-border-color: #ccc; --tblr-bg-surface: #fff; --tblr-secondary-color: #555; } "
    "body { margin: 2rem; font: 0.9rem/1.5 sans-serif; } table { width: 100%; border-collapse: collapse; } "
    "th, td { padding: 0.3rem 0.5rem; text-align: start; vertical-align: top; border-bottom: 1px solid #ccc; } "
    ".mono { font-family: monospace; overflow-wrap: anywhere; } .row-note { display: block; color: #555; }\n"
)
SUFFIXES = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "text/csv": "csv",
    "application/json": "json",
}


def files(unit: Unit) -> Iterator[tuple[str, bytes]]:
    """(name inside the folder, content). Which there are depends on the unit: see README.txt of an archive."""
    request, incident = unit.request, unit.incident
    yield "unit.json", as_json({**unit.as_plain(), "changes": [each.as_plain() for each in unit.changes]})
    held = {each.pk: each for change in unit.changes for each in _tenures_of(change)}
    yield "tenures.json", as_json([_tenure(each) for each in held.values()])
    if incident is not None:
        yield "incident.json", as_json(describe_incident(incident))
    if request is not None:
        yield "evidence.json", request.evidence.encode("utf-8", "surrogatepass")
        yield "request.json", as_json(_request(request))
        yield "policy.json", as_json(_policy(request))
    yield from _events(unit, request)
    if request is not None:
        if found := certificates.of(request):
            yield "certificate.html", _certificate(found)
        yield from _exhibits(request)


def as_json(data: Any) -> bytes:
    """Indented, UTF-8, with a line break at the end; times as text."""
    return (json.dumps(data, ensure_ascii=False, indent=2, default=str) + "\n").encode("utf-8", "surrogatepass")


def style_sheet(own: str) -> SafeString:
    """The `<style>` of a page that stands alone in an archive: what all share, and `own`, which is CSS of ours."""
    style: SafeString = mark_safe(_BASICS + own)  # noqa: S308  our own text
    return format_html("<style>\n{}</style>", style)


# --- Parts ------------------------------------------------------------------------------------------------------------


def _tenures_of(change: Change) -> list[Tenure]:
    """The tenure, and those of the same place that ended with its beginning."""
    tenure = change.tenure
    replaced = Tenure.objects.filter(
        model_name=tenure.model_name,
        target=tenure.target,
        place=tenure.place,
        version_number__in=change.replaced,
        ended_at=tenure.started_at,
    )
    return [tenure, *replaced.select_related("target").order_by("version_number").exclude(pk=tenure.pk)]


def _tenure(tenure: Tenure) -> dict[str, Any]:
    return {
        **tenures.as_plain(tenure),
        "tenure": tenure.pk,
        "held_until_at_least": tenure.ended_after,
        "start_event": tenure.start_sequence,
        "end_event": tenure.end_sequence,
        "files_sha256": tenure.files_digest,
        "imported": {"requested_by": tenure.requested_by, "approved_by": tenure.approved_by, "note": tenure.note},
    }


def describe_incident(incident: Incident) -> dict[str, Any]:
    """The incident as plain data for an archive; `before` and `after` are numbers of versions, times are datetimes."""
    return {
        "incident": incident.pk,
        "kind": incident.kind,
        "what": incident.get_kind_display(),
        "model": incident.model_name,
        "place": incident.place,
        "before": incident.before,
        "after": incident.after,
        "details": incident.details,
        "seen_at": incident.seen_at,
        "not_before": incident.not_before,
        "response": incident.get_response_display(),
        "request": incident.request_id,
        "opened_event": incident.opened_sequence,
        "resolved_at": incident.resolved_at,
        "resolved_by": incident.resolved_by.label if incident.resolved_by else None,
        "resolution": incident.get_resolution_display() if incident.resolution else "open",
        "reason": incident.reason,
    }


def _request(request: PromotionRequest) -> dict[str, Any]:
    reviews = request.reviews.select_related("reviewer").prefetch_related("findings__owner", "findings__closed_by")
    comments = request.comments.select_related("author").order_by("created_at", "pk")
    opened = request.readings.select_related("person").order_by("opened_at", "pk")
    return {
        "request": request.pk,
        "kind": request.kind,
        "model": request.version.model.name,
        "version": request.version.number,
        "target": request.target.name,
        "requested_by": request.requester.label,
        "justification": request.justification,
        "status": request.status,
        "status_reason": request.status_reason,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "decided_at": request.decided_at,
        "closed_at": request.closed_at,
        "correlation_id": request.correlation_id,
        "evidence": {"file": "evidence.json", "sha256": request.fingerprint, "parts": request.parts},
        "reviews": [_review(each) for each in reviews.order_by("created_at", "pk")],
        "checks": [_check(each) for each in request.checks.select_related("overridden_by").order_by("pk")],
        "discussion": [{"at": each.created_at, "by": each.author.label, "said": each.body} for each in comments],
        "opened": [
            {"by": each.person.label, "at": each.opened_at, "evidence_sha256": each.fingerprint} for each in opened
        ],
        "reviewed_afterwards": _afterwards(request),
    }


def _review(review: Review) -> dict[str, Any]:
    return {
        "by": review.signed_name or review.reviewer.label,
        "at": review.created_at,
        "verdict": review.verdict,
        "meaning": review.meaning,
        "comment": review.comment,
        "evidence_sha256": review.fingerprint,
        "identity_proved_by": review.signed_with,
        "proof_at": review.proof_at,
        "voided_at": review.voided_at,
        "void_reason": review.void_reason,
        "findings": [
            {
                "text": each.text,
                "owner": each.owner.label,
                "due_on": each.due_on,
                "closed_at": each.closed_at,
                "closed_by": each.closed_by.label if each.closed_by else None,
                "closing_note": each.closing_note,
            }
            for each in review.findings.all()
        ],
    }


def _check(check: Any) -> dict[str, Any]:
    return {
        "check": check.key,
        "title": check.title,
        "effect": check.effect,
        "outcome": check.outcome,
        "reason": check.reason,
        "settings": check.terms,
        "evidence_sha256": check.fingerprint,
        "checked_at": check.checked_at,
        "replaced_at": check.replaced_at,
        "overridden_by": check.overridden_by.label if check.overridden_by else None,
        "overridden_at": check.overridden_at,
        "override_reason": check.override_reason,
    }


def _afterwards(request: PromotionRequest) -> dict[str, Any] | None:
    if request.afterwards_due_at is None:
        return None
    return {
        "due_at": request.afterwards_due_at,
        "at": request.afterwards_at,
        "by": request.afterwards_by.label if request.afterwards_by else None,
        "verdict": request.afterwards_verdict,
        "comment": request.afterwards_comment,
    }


def _policy(request: PromotionRequest) -> dict[str, Any]:
    """The rule as the request kept it, and the version of the policy that it was copied from."""
    number = {"policy_id": request.rule.get("policy_id"), "number": request.rule.get("policy_version")}
    saved = PolicyVersion.objects.filter(**number).first() if all(number.values()) else None
    return {
        "rule": request.rule,
        "version": {**number, "saved_at": saved.saved_at, "saved_by": saved.saved_as, "terms": saved.terms}
        if saved
        else None,
    }


def _events(unit: Unit, request: PromotionRequest | None) -> Iterator[tuple[str, bytes]]:
    """The request's part of the ledger and the events that record the changes, with their hashes."""
    ends = [(each.sequence, each.tenure.start_sequence, each.tenure.end_sequence) for each in unit.changes]
    sequences = {number for numbers in ends for number in numbers if number is not None}
    if unit.incident is not None:
        sequences.add(unit.incident.opened_sequence)
    found = {event.sequence: event for event in AuditEvent.objects.filter(sequence__in=sequences)}
    if request is not None:
        found |= {event.sequence: event for event in request.events.all()}
    lines = [
        json.dumps(ledger.as_record(found[sequence]) | {"hash": found[sequence].hash}, ensure_ascii=False)
        for sequence in sorted(found)
    ]
    yield "events.jsonl", "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")
    names: dict[str, str] = {}
    for event in found.values():
        names |= pseudonyms.names_in(event)
    yield "names.json", as_json(dict(sorted(names.items())))


def _certificate(found: certificates.Certificate) -> bytes:
    """As its page shows it, in one file without scripts."""
    context = {"certificate": found, "site_name": settings.SITE_NAME, "style_sheet": style_sheet(_STYLES.read_text())}
    return render_to_string("approvals/audit/certificate_alone.html", context).encode()


def _exhibits(request: PromotionRequest) -> Iterator[tuple[str, bytes]]:
    """Figures and tables that the evidence names and that are still the same bytes; the others are listed."""
    named: Mapping[str, str] = json.loads(request.evidence)["version"].get("exhibits") or {}
    kept, lost = Exhibit.objects.filter(version=request.version), []
    for place, (path, digest) in enumerate(sorted(named.items()), start=1):
        found = kept.filter(path=path, sha256=digest).first()
        if found is None:
            lost.append({"path": path, "sha256": digest})
            continue
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path).stem).strip("-")[:60] or "exhibit"
        yield f"exhibits/{place:02}-{stem}.{SUFFIXES.get(found.media_type, 'bin')}", bytes(found.content)
    if lost:
        yield "exhibits/no-longer-kept.json", as_json(lost)
