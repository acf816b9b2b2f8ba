"""The approval note and the tags that delivery writes to a version before it moves, and takes back when it does not."""

from collections.abc import Mapping

import structlog
from django.conf import settings
from django.db.models import QuerySet

from approvals import evidence, ledger, workflow
from approvals.evidence import approval_note
from approvals.models import Checkpoint, PromotionRequest, Status, Verdict
from mirror import composed
from mirror.port import DESCRIPTION_LIMIT, Grounds, NotFound, Registry, RegistryError, VersionSnapshot

logger = structlog.get_logger(__name__)

TAGS = (
    *("request", "target", "approved_by", "approved_at", "requested_by", "fingerprint", "url"),
    *(tag.removeprefix(evidence.OWN_TAG) for tag in (ledger.HEAD_TAG, ledger.CHECKPOINT_TAG)),
)
"""Written to the version as `countersign.<name>`, always the newest promotion's; the ledger has them all but the last
two, which bear witness to the ledger itself."""


def note_of(request: PromotionRequest) -> approval_note.Note:
    """Who allowed the request, when and on what ground. Raises RuntimeError while no one has decided on it."""
    if request.decided_at is None:
        raise RuntimeError(f"{request} is not decided.")
    names, ground = workflow.approver_labels(request), approval_note.Ground.APPROVED
    if request.is_break_glass:
        names, ground = [request.requester.label], approval_note.Ground.BREAK_GLASS
    elif request.is_rollback and not request.reviews.live().filter(verdict=Verdict.APPROVE).exists():
        ground = approval_note.Ground.ROLLED_BACK
    return approval_note.Note(request.pk, request.target.name, names, request.decided_at, ground)


def witness() -> dict[str, str]:
    """Tags that say how the ledger stands now: its head, and the newest signed checkpoint if there is one. MLflow keeps
    them where the owner of our database cannot rewrite them. Kept with the delivery, so that a resumed one writes the
    same."""
    newest = next(iter(composed.objects(_newest)), None)
    return {ledger.HEAD_TAG: str(ledger.head())} | ({ledger.CHECKPOINT_TAG: newest.text} if newest else {})


def _newest() -> QuerySet[Checkpoint]:
    return Checkpoint.objects.order_by("-number")[:1]


def witness_of(request: PromotionRequest) -> dict[str, str]:
    """What an earlier delivery of the request wrote."""
    entry = request.outbox_entries.exclude(plan=None).order_by("-pk").first()
    return dict((entry.plan or {}).get("witness") or {}) if entry else {}


def tags_of(request: PromotionRequest, note: approval_note.Note) -> dict[str, str]:
    """The same facts as the note, as MLflow tags."""
    values = (
        str(request.pk),
        request.target.name,
        "" if note.ground == approval_note.Ground.BREAK_GLASS else ", ".join(note.approvers),
        note.approved_at.isoformat(timespec="seconds"),
        request.requester.label,
        request.fingerprint,
        f"{settings.SITE_URL}{request.get_absolute_url()}",
    )
    return {f"{evidence.OWN_TAG}{name}": value for name, value in zip(TAGS, values, strict=False)}


def write(
    request: PromotionRequest,
    version: VersionSnapshot,
    registry: Registry,
    *,
    note: approval_note.Note,
    witness: Mapping[str, str],
) -> None:
    """Puts note and tags where they are not so already, with those that bear witness to the ledger. Raises what the
    registry raises."""
    description, tags = _missing(request, version, note, witness)
    grounds = Grounds(request.pk, made=version.created_at)
    if description is not None:
        registry.set_description(version.model, version.number, description, grounds=grounds)
    for key, value in tags.items():
        registry.set_tag(version.model, version.number, key, value, grounds=grounds)


def lacks(
    request: PromotionRequest, version: VersionSnapshot, *, note: approval_note.Note, witness: Mapping[str, str]
) -> str:
    """Which of them MLflow does not show on the version: `the approval note and the tags`; "" when all is there."""
    description, tags = _missing(request, version, note, witness)
    return " and ".join(["the approval note"] * (description is not None) + ["the tags"] * bool(tags))


def _missing(
    request: PromotionRequest, version: VersionSnapshot, note: approval_note.Note, witness: Mapping[str, str]
) -> tuple[str | None, dict[str, str]]:
    """The description to write (None: it has the note), and the tags."""
    description = approval_note.with_note(version.description, note, limit=DESCRIPTION_LIMIT)
    wanted = tags_of(request, note) | dict(witness)
    tags = {key: value for key, value in wanted.items() if version.tags.get(key) != value}
    return (description if description != version.description else None), tags


def take_back(request: PromotionRequest, registry: Registry) -> None:
    """Removes this request's note and tags, which an attempt may have written before delivery was stopped.

    Best effort: without an answer from MLflow the note stays, and the ledger says that nothing was promoted.
    """
    name, number, grounds = request.version.model.name, request.version.number, Grounds(request.pk)
    try:
        version = registry.version(name, number)
        if approval_note.has_note(version.description, request.pk):
            without = approval_note.without_note(version.description, request.pk)
            registry.set_description(name, number, without, grounds=grounds)
        if version.tags.get(f"{evidence.OWN_TAG}request") == str(request.pk):
            earlier = _applied_before(request)
            before = tags_of(earlier, note_of(earlier)) | witness_of(earlier) if earlier else {}
            for key, value in before.items():
                registry.set_tag(name, number, key, value, grounds=grounds)
            for key in (f"{evidence.OWN_TAG}{tag}" for tag in TAGS):
                if key in version.tags and key not in before:
                    registry.delete_tag(name, number, key, grounds=grounds)
    except NotFound:
        pass  # gone with the version
    except RegistryError as error:
        logger.warning("delivery.note_left_behind", request=request.pk, error=error.message)


def _applied_before(request: PromotionRequest) -> PromotionRequest | None:
    """The newest other promotion of the same version: the tags record it again when this one does not come about."""
    others = PromotionRequest.objects.with_subject().filter(version_id=request.version_id, status=Status.APPLIED)
    return others.exclude(pk=request.pk).order_by("-closed_at").first()
