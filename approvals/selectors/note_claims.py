"""Holds the approval notes in an MLflow description against our own records: anybody may edit a description, so a note
proves nothing until the request it names says the same."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from approvals.evidence import approval_note
from approvals.models import Action, AuditEvent, PromotionRequest, Review, Status, Verdict, identities
from mirror.models import ModelVersion

_CLAIM = re.compile(
    r"^\W*(?:approved for\b|rolled back into\b|promoted to \S+ without approval\b).*", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class CheckedNote:
    line: str
    doubt: str = ""
    """Why this line is not from the gate, or not as the gate wrote it; "" when our records say the same."""

    request: PromotionRequest | None = None
    is_on_its_way: bool = False
    """The request is approved and being delivered: the note is written before the version is moved."""

    has_erased_name: bool = False
    """It fits but for the name of a person who was pseudonymised since: our records no longer have that name."""

    @property
    def tone(self) -> str:
        """bad, waiting or good."""
        return "bad" if self.doubt else "waiting" if self.is_on_its_way or self.has_erased_name else "good"


def check(version: ModelVersion) -> list[CheckedNote]:
    """Every line of the description that says it was approved, rolled back or promoted without approval: those of the
    block, oldest first, then those in the text. Two queries, three where a rollback is named; none where nothing
    claims anything."""
    lines = approval_note.notes(version.description)
    named = {line: _request_of(line) for line in lines}
    requests = (
        PromotionRequest.objects.select_related("target").defer("evidence").in_bulk(named.values()) if lines else {}
    )
    signed, grounds = _signed(requests), _grounds(requests)
    checked = [_checked(line, version, requests.get(named[line]), signed, grounds) for line in lines]
    by_hand = [match[0].strip() for match in _CLAIM.finditer(approval_note.without_notes(version.description))]
    return checked + [CheckedNote(line, "It is outside the block that Countersign writes.") for line in by_hand]


def of(request: PromotionRequest) -> CheckedNote | None:
    """The request's own note, as it is in the description of its version now."""
    return next((each for each in check(request.version) if each.request == request), None)


def _signed(requests: Mapping[int, PromotionRequest]) -> dict[int, list[str]]:
    """Who allowed each promotion, or promoted in an emergency for it, as the ledger has it."""
    if not requests:
        return {}
    events = AuditEvent.objects.filter(
        request__in=requests, action__in=(Action.VERSION_PROMOTED, Action.REQUEST_APPROVED, Action.GLASS_BROKEN)
    ).order_by("sequence")
    found: dict[int, list[str]] = {}
    for event in events:
        is_break = event.action == Action.GLASS_BROKEN
        if names := [event.actor_label] if is_break else event.allowed_by.splitlines():
            found[event.request_id or 0] = names
    return found


def _grounds(requests: Mapping[int, PromotionRequest]) -> dict[int, approval_note.Ground]:
    """On what each of them went to its target, where that is not that it was approved."""
    found = {pk: approval_note.Ground.BREAK_GLASS for pk, request in requests.items() if request.is_break_glass}
    if back := [pk for pk, request in requests.items() if request.is_rollback]:
        reviewed = Review.objects.live().filter(request__in=back, verdict=Verdict.APPROVE)
        alone = set(back) - set(reviewed.values_list("request_id", flat=True))
        found |= dict.fromkeys(alone, approval_note.Ground.ROLLED_BACK)
    return found


def _fits_but_for_names(line: str, note: approval_note.Note, labels: list[str]) -> bool:
    """Whether it is the gate's line with a name in the place of a person who has none any more."""
    nameless = [label for label in labels if label.endswith(identities.ERASED)]
    pattern = re.escape(note.line)
    for label in nameless:
        pattern = pattern.replace(re.escape(label), r"[^<>]{0,120} <[^<>]{3,254}>")
    return bool(nameless) and re.fullmatch(pattern, line) is not None


def _checked(
    line: str,
    version: ModelVersion,
    request: PromotionRequest | None,
    signed: Mapping[int, list[str]],
    grounds: Mapping[int, approval_note.Ground],
) -> CheckedNote:
    number = _request_of(line)
    if request is None:
        return CheckedNote(line, f"There is no request #{number}.")
    if request.version_id != version.pk:
        return CheckedNote(line, f"Request #{number} is about another version.", request)
    if request.status not in (Status.APPLIED, Status.APPROVED) or request.decided_at is None:
        return CheckedNote(
            line, f"Request #{number} was never applied: {request.get_status_display().lower()}.", request
        )
    ground = grounds.get(number, approval_note.Ground.APPROVED)
    note = approval_note.Note(number, request.target.name, signed.get(number, []), request.decided_at, ground)
    if _fits_but_for_names(line, note, signed.get(number, [])):
        return CheckedNote(line, request=request, has_erased_name=True)
    if line not in (note.line, _short(note)):
        return CheckedNote(line, f"Countersign wrote: {note.line}", request)
    return CheckedNote(line, request=request, is_on_its_way=request.status == Status.APPROVED)


def _short(note: approval_note.Note) -> str:
    """What is left of a note where the description is full: see `approval_note.with_note`."""
    return f"{note.line.partition(' by ')[0]} · request #{note.request_id}"


def _request_of(line: str) -> int:
    """Lines of the block always end in `request #12`. A number that no database key can be means none."""
    number = int(line.rpartition("#")[2])
    return number if number < 2**63 else 0
