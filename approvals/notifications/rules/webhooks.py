"""Of webhooks: to the administrators, when one is paused because its receiver does not take a message."""

from approvals.models import Action, Kind
from approvals.notifications import audience, wording
from approvals.notifications.told import Occasion, Told, tells_of


@tells_of(Action.WEBHOOK_PAUSED)
def paused(this: Occasion) -> list[Told]:
    """Not what a person paused, who knows it."""
    event = this.event
    if event.actor_id is not None or "webhook" not in event.data:
        return []
    words = wording.Words(
        wording.one_line(f"The webhook {event.data['name']} is paused"),
        f"{event.data['reason']} Events wait until an administrator resumes it, and then follow.",
    )
    people = frozenset(audience.holding("approvals.manage_webhooks"))
    return [Told(Kind.WEBHOOK, None, people, words, this.key, event)]
