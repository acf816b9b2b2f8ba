"""The approval note and the tags that delivery writes to a version before it moves, and takes back when it does not."""

import structlog
from django.conf import settings

from approvals import evidence, provenance, workflow
from approvals.models import PromotionRequest, Status, Verdict
from registry_ui.mirror.registry import DESCRIPTION_LIMIT, NotFound, Registry, RegistryError, VersionSnapshot

logger = structlog.get_logger(__name__)

TAGS = ("request", "target", "approved_by", "approved_at", "requested_by", "fingerprint", "url")
"""Written to the version as `countersign.<name>`, always the newest promotion's; the ledger has them all."""


def note_of(request: PromotionRequest) -> provenance.Note:
    if request.decided_at is None:
        raise RuntimeError(f"{request} is not decided.")
    names, ground = workflow.approver_labels(request), provenance.Ground.APPROVED
    if request.is_break_glass:
        names, ground = [request.requester.label], provenance.Ground.BREAK_GLASS
    elif request.is_rollback and not request.reviews.live().filter(verdict=Verdict.APPROVE).exists():
        ground = provenance.Ground.ROLLED_BACK
    return provenance.Note(request.pk, request.target.name, names, request.decided_at, ground)


def tags_of(request: PromotionRequest, note: provenance.Note) -> dict[str, str]:
    """The same facts as the note, as MLflow tags."""
    values = (
        str(request.pk),
        request.target.name,
        "" if note.ground == provenance.Ground.BREAK_GLASS else ", ".join(note.approvers),
        note.approved_at.isoformat(timespec="seconds"),
        request.requester.label,
        request.fingerprint,
        f"{settings.SITE_URL}{request.get_absolute_url()}",
    )
    return {f"{evidence.OWN_TAG}{name}": value for name, value in zip(TAGS, values, strict=True)}


def write(request: PromotionRequest, version: VersionSnapshot, registry: Registry) -> None:
    """Puts note and tags where they are not so already."""
    note = note_of(request)
    description = provenance.with_note(version.description, note, limit=DESCRIPTION_LIMIT)
    if description != version.description:
        registry.set_description(version.model, version.number, description)
    for key, value in tags_of(request, note).items():
        if version.tags.get(key) != value:
            registry.set_tag(version.model, version.number, key, value)


def take_back(request: PromotionRequest, registry: Registry) -> None:
    """Removes this request's note and tags, which an attempt may have written before delivery was stopped.

    Best effort: without an answer from MLflow the note stays, and the ledger says that nothing was promoted.
    """
    name, number = request.version.model.name, request.version.number
    try:
        version = registry.version(name, number)
        if provenance.has_note(version.description, request.pk):
            registry.set_description(name, number, provenance.without_note(version.description, request.pk))
        if version.tags.get(f"{evidence.OWN_TAG}request") == str(request.pk):
            earlier = _applied_before(request)
            if earlier is not None:
                for key, value in tags_of(earlier, note_of(earlier)).items():
                    registry.set_tag(name, number, key, value)
                return
            for key in (f"{evidence.OWN_TAG}{tag}" for tag in TAGS):
                if key in version.tags:
                    registry.delete_tag(name, number, key)
    except NotFound:
        pass  # gone with the version
    except RegistryError as error:
        logger.warning("delivery.note_left_behind", request=request.pk, error=error.message)


def _applied_before(request: PromotionRequest) -> PromotionRequest | None:
    """The newest other promotion of the same version: the tags tell of it again when this one does not come about."""
    others = PromotionRequest.objects.with_subject().filter(version_id=request.version_id, status=Status.APPLIED)
    return others.exclude(pk=request.pk).order_by("-closed_at").first()
