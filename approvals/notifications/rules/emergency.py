"""Of emergency promotions and their review, and of probation."""

from approvals.models import Action, Kind
from approvals.notifications import audience
from approvals.notifications.told import Occasion, Told, tells_of


@tells_of(Action.GLASS_BROKEN)
def glass_broken(this: Occasion) -> list[Told]:
    due = this.request.afterwards_due_at
    until = f" until {due:%-d %B %Y, %H:%M} UTC" if due else ""
    text = f"Not approved. Another person must review it afterwards{until}."
    title = f"Emergency promotion: {this.subject} goes ahead without approval"
    return [this.tell(Kind.BREAK_GLASS, this.request.asked_by | audience.watchers_of(this.request), title, text)]


@tells_of(Action.AFTERWARDS_OVERDUE)
def overdue(this: Occasion) -> list[Told]:
    title = f"Overdue: the emergency promotion {this.subject} is not reviewed"
    return [this.tell(Kind.BREAK_GLASS, this.request.asked_by | audience.watchers_of(this.request), title)]


@tells_of(Action.REVIEWED_AFTERWARDS)
def reviewed(this: Occasion) -> list[Told]:
    is_justified = this.event.data.get("verdict") == "justified"
    title = f"The emergency promotion {this.subject} was found {'justified' if is_justified else 'not justified'}"
    people = this.request.asked_by | (set() if is_justified else audience.watchers_of(this.request))
    return [this.tell(Kind.BREAK_GLASS, people, title)]


@tells_of(Action.PROBATION_STARTED)
def probation_started(this: Occasion) -> list[Told]:
    hours = this.event.data.get("hours")
    title = f"{this.subject} is on probation for {hours} {'hour' if hours == 1 else 'hours'}"
    text = "Unless a reviewer other than the requester confirms it by then, Countersign rolls it back."
    return [this.tell(Kind.PROBATION, this.request.asked_by | audience.approvers_of(this.request), title, text)]


@tells_of(Action.PROBATION_ENDED)
def probation_ended(this: Occasion) -> list[Told]:
    people = this.request.asked_by | audience.approvers_of(this.request)
    match this.event.data.get("outcome"):
        case "confirmed":
            title = f"{this.subject} was confirmed after its probation"
        case "rolled_back":
            title = f"{this.subject} did not pass its probation and is rolled back"
        case "stayed":
            title = f"{this.subject} did not pass its probation and there is nothing to roll back to"
            people |= audience.watchers_of(this.request)
        case _:
            return []
    return [this.tell(Kind.PROBATION, people, title)]
