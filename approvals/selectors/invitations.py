"""Who invited whom, by the ledger."""

from accounts.models import User
from approvals.models import Action, AuditEvent


def invited_by(person: User) -> User | None:
    """None where no one who was signed in did: sign-up, the identity provider or the command line made the account."""
    told = f'"person_id":{person.pk}'  # finds those of number 12 for 1 too, so the number is looked at again below
    for event in AuditEvent.objects.filter(action=Action.PERSON_INVITED, payload__contains=told).select_related(
        "actor"
    ):
        if event.data.get("person_id") == person.pk:
            return event.actor
    return None
