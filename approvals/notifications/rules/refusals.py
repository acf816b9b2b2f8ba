"""Of what MLflow refused: to the person who tried it, where Countersign knows them. They may have seen no more than an
error in a program's output."""

from approvals.models import Action, Kind
from approvals.notifications import wording
from approvals.notifications.told import Occasion, Told, tells_of


@tells_of(Action.REFUSED_IN_MLFLOW)
def refused(this: Occasion) -> list[Told]:
    event = this.event
    people = frozenset(event.people("who"))
    if not people or not event.data.get("asks") or not event.version_number:
        return []
    subject = f"{event.model_name} v{event.version_number} to {event.target_name}"
    words = wording.Words(
        wording.one_line(f"MLflow refused {subject}: request it here"),
        "You tried it in MLflow, where it needs an approval. Request the promotion in Countersign; it is delivered "
        "when the approvals are given.",
    )
    return [Told(Kind.REFUSED, None, people, words, this.key, event)]
