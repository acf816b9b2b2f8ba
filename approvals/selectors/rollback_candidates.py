"""Which earlier holders of a target a rollback can go to, and why not to others. The pages, the verb and the end of a
probation ask the same functions."""

from collections.abc import Sequence
from dataclasses import dataclass

from approvals import tenures
from approvals.models import AuditEvent, Target, Tenure
from approvals.models.requests import RequestKind
from approvals.selectors import champions, eligibility
from mirror.models import ModelVersion, RegisteredModel

MOST_CHOICES = 10


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier holder of the target."""

    number: int
    tenure: Tenure
    """The last time that it held the target."""

    version: ModelVersion | None
    was_left: bool
    """It was rolled back from, so it is no place to go back to unless a person says so."""

    problem: str
    """Why it cannot be gone back to, as a sentence; "" when it can."""

    @property
    def was_approved(self) -> bool:
        return self.tenure.request_id is not None


def cannot_go_back(target: Target) -> str:
    """A sentence when there is no way back for this target at all, or ""."""
    return f"{target.name} is retired." if target.retired_at else ""


def earlier(model: RegisteredModel, target: Target, holders: Sequence[ModelVersion] | None = None) -> list[Earlier]:
    """At most MOST_CHOICES: those that are no worse than their last end first, the newest first; then those that were
    rolled back from. `holders` are those of now, where the caller knows them."""
    holders = champions.holders(model, target) if holders is None else holders
    # Those beside the champion share its stage, or have the alias alone: they are what one goes back to.
    held = [version.number for version in holders[:1]]
    found = tenures.approved_before(model.name, target, but=held)
    left = _left(found)
    ordered = sorted(found, key=lambda tenure: tenure.version_number in left)[:MOST_CHOICES]  # keeps their order
    versions = {
        version.number: version
        for version in ModelVersion.objects.filter(model=model, number__in=[each.version_number for each in ordered])
    }
    rows = []
    for tenure in ordered:
        version = versions.get(tenure.version_number)
        if version:
            version.model = model
        gone = f"Version {tenure.version_number} no longer exists in MLflow."
        problem = cannot_go_back(target) or (eligibility.cannot_be_asked(version, target, holders) if version else gone)
        rows.append(Earlier(tenure.version_number, tenure, version, tenure.version_number in left, problem))
    return rows


def first(found: Sequence[Earlier]) -> Earlier | None:
    """The one that is gone back to where no one says which."""
    return next((each for each in found if not each.problem and not each.was_left), None)


def _left(found: Sequence[Tenure]) -> set[int]:
    """Numbers of the versions that were the champion when a rollback to another one ended their last tenure; what was
    archived beside them is no worse for it."""
    ends = {tenure.version_number: tenure.end_sequence for tenure in found if tenure.end_sequence}
    events = AuditEvent.objects.filter(sequence__in=set(ends.values()), request__kind=RequestKind.ROLLBACK)
    left = {event.sequence: event.data.get("replaced") for event in events}
    return {number for number, sequence in ends.items() if left.get(sequence) == number}
