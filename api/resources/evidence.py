"""What is signed, and the certificate of what was."""

from datetime import datetime
from typing import Any

from django.http import HttpResponse
from ninja import Router

from api.auth import ApiRequest, Token
from api.problems import NotFound
from api.resources.requests import find_request
from api.schemas import Person, Shape, Subject, person, url
from approvals.audit import certificates

router = Router(tags=["Evidence"], auth=Token("evidence:read"))


class Signature(Shape):
    signed_by: str
    """The printed name, as it was then."""

    by: Person
    meaning: str
    comment: str
    fingerprint: str
    identity_proved_by: str
    proof_at: datetime | None
    at: datetime


class CertifiedCheck(Shape):
    title: str
    effect: str
    outcome: str
    reason: str
    overridden_by: Person | None
    override_reason: str


class CertifiedEvent(Shape):
    sequence: int
    at: datetime
    action: str
    hash: str


class CertificateOut(Subject):
    """What was approved, by whom, over which evidence."""

    request: int
    version: str
    target: str
    status: str
    justification: str
    requested_by: Person
    fingerprint: str
    policy: str
    signatures: list[Signature]
    allowed_by: list[str]
    """Of a rollback that needed no approval: who or what allowed it."""

    checks: list[CertifiedCheck]
    files: dict[str, Any]
    """Digest, count and bytes of the model's files as they were approved; empty where none were read."""

    decided_at: datetime | None
    promoted_at: datetime | None
    events: list[CertifiedEvent]
    url: str


@router.get("/requests/{int:number}/evidence", response=dict[str, Any], summary="The evidence, as it is signed")
def get_evidence(request: ApiRequest, number: int) -> HttpResponse:
    """The very bytes, canonical JSON, whose SHA-256 is the fingerprint, which is the `ETag`."""
    found = find_request(number)
    content = found.evidence.encode("utf-8", "surrogatepass")
    return HttpResponse(content, content_type="application/json", headers={"ETag": f'"{found.fingerprint}"'})


@router.get("/requests/{int:number}/certificate", response=CertificateOut, summary="The approval certificate")
def get_certificate(request: ApiRequest, number: int) -> CertificateOut:
    """404 `not_certified` until all approvals are given, or it is an emergency promotion."""
    found = find_request(number)
    certificate = certificates.of(found)
    if certificate is None:
        raise NotFound("not_certified", certificates.NONE_YET)
    promoted = certificate.promoted
    return CertificateOut(
        model=found.version.model.name,
        request=found.pk,
        version=str(found.version.number),
        target=found.target.name,
        status=found.status,
        justification=found.justification,
        requested_by=person(found.requester),
        fingerprint=found.fingerprint,
        policy=certificate.rule.why,
        signatures=[
            Signature(
                signed_by=each.signed_name or each.reviewer.label,
                by=person(each.reviewer),
                meaning=each.meaning,
                comment=each.comment,
                fingerprint=each.fingerprint,
                identity_proved_by=each.signed_with,
                proof_at=each.proof_at,
                at=each.created_at,
            )
            for each in certificate.signatures
        ],
        allowed_by=list(certificate.allowed_by),
        checks=[
            CertifiedCheck(
                title=each.title,
                effect=each.effect,
                outcome=each.outcome,
                reason=each.reason,
                overridden_by=person(each.overridden_by) if each.overridden_by else None,
                override_reason=each.override_reason,
            )
            for each in certificate.checks
        ],
        files={name: value for name, value in certificate.files.items() if name != "manifest"},
        decided_at=found.decided_at,
        promoted_at=promoted.at if promoted else None,
        events=[
            CertifiedEvent(sequence=each.sequence, at=each.at, action=each.action, hash=each.hash)
            for each in certificate.events
        ],
        url=url("approvals:request_certificate", found.pk),
    )
