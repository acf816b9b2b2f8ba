"""Of deliveries: done, failed, half done, or held by a freeze."""

from datetime import UTC, datetime

from approvals.models import Action, Kind, PromotionRequest, Status
from approvals.notifications import audience
from approvals.notifications.told import Occasion, Told, tells_of


@tells_of(Action.VERSION_PROMOTED)
def delivered(this: Occasion) -> list[Told]:
    request, model, number = this.request, this.request.version.model.name, this.request.version.number
    people = this.request.asked_by | audience.approvers_of(request)
    if request.is_rollback:
        title = f"{model}: {request.target.name} was rolled back to version {number}"
        return [this.tell(Kind.ROLLED_BACK, people | _replaced(request), title)]
    title = f"{model} v{number} reached {request.target.name}"
    if request.is_break_glass:
        return [this.tell(Kind.BREAK_GLASS, people | audience.watchers_of(request), f"{title} without approvals")]
    return [this.tell(Kind.DELIVERED, people, title)]


def _replaced(request: PromotionRequest) -> set[int]:
    """Who asked for and approved what is rolled back from."""
    if request.champion is None:
        return set()
    same = PromotionRequest.objects.filter(version=request.champion, target_id=request.target_id)
    before = same.filter(status=Status.APPLIED).order_by("-closed_at").first()
    return set(before.asked_by) | audience.approvers_of(before) if before else set()


@tells_of(Action.DELIVERY_FAILED)
def failed(this: Occasion) -> list[Told]:
    people = this.request.asked_by | audience.approvers_of(this.request)
    if this.request.is_urgent:
        people |= audience.watchers_of(this.request)
    return [this.tell(Kind.FAILED, people, f"Delivery of {this.subject} failed")]


@tells_of(Action.DELIVERY_HALFWAY)
def halfway(this: Occasion) -> list[Told]:
    """To those who can end it, or put right what MLflow refuses; once, however often the half changes."""
    missing = " and ".join(this.event.data.get("missing", ()))
    people = this.request.asked_by | audience.holding("approvals.retry_delivery")
    return [this.tell(Kind.FAILED, people, f"{this.subject} is partly delivered: MLflow lacks {missing}")]


@tells_of(Action.DELIVERY_HELD)
def held(this: Occasion) -> list[Told]:
    freeze, until = this.event.data.get("freeze", ""), str(this.event.data.get("until", ""))
    ends = f" until {datetime.fromisoformat(until).astimezone(UTC):%-d %B %Y, %H:%M} UTC" if until else ""
    text = f"It is approved. The freeze “{freeze}” holds it{ends}; Countersign delivers it afterwards."
    return [this.tell(Kind.FAILED, this.request.asked_by, f"Delivery of {this.subject} is held", text)]
