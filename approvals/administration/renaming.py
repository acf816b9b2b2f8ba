"""Changes of a person's name or address. They happen where nothing is known of the ledger (sign-in, allauth's pages),
so this listens to the table of people: whatever saves a person, the ledger has it in the same transaction."""

from typing import Any

from allauth.core import context
from django.db.models.signals import post_save, pre_save

from accounts.models import User, plain
from approvals import ledger
from approvals.administration.people import lock_concerned, reconsider_reviews_of
from approvals.administration.shared import COMMAND_LINE
from approvals.ledger import pseudonyms
from approvals.models import Action
from approvals.models.identities import Naming

NAMING = {"name", "email"}
SIGN_IN = "Countersign sign-in"
"""Acts where no one is signed in yet: who confirms an address in another browser, or comes from the provider."""

_BEFORE = "_named_before"


def listen() -> None:
    """Called once, when the programs start."""
    pre_save.connect(_remember, sender=User, dispatch_uid="approvals.renaming.before")
    post_save.connect(_record, sender=User, dispatch_uid="approvals.renaming.after")


def _remember(sender: Any, instance: User, update_fields: Any = None, raw: bool = False, **_: Any) -> None:
    is_about_names = update_fields is None or NAMING & set(update_fields)
    if raw or instance.pk is None or not is_about_names:
        return
    stored = User.objects.filter(pk=instance.pk).values_list("name", "email").first()
    if stored and stored != (instance.name, instance.email):
        name, email = stored
        setattr(instance, _BEFORE, f"{plain(name)} <{plain(email)}>")


def _record(sender: Any, instance: User, created: bool = False, **_: Any) -> None:
    before = instance.__dict__.pop(_BEFORE, None)
    if created and context.request and _signed_in(instance) is None:  # who is invited has an event of that
        data = {"person": instance.label, "person_id": instance.pk}
        ledger.record(Action.PERSON_JOINED, actor=None, acting=SIGN_IN, data=data, rows=[instance])
    if before is None:
        return
    if before == instance.label:  # what a label leaves out has changed, and with it what they were called before
        ledger.record(Action.ROWS_SEALED, actor=None, acting=SIGN_IN, rows=[instance])
        return
    lock_concerned(instance)
    tokens = {
        "before": pseudonyms.token_of(instance, before, naming=Naming.LABEL),
        "after": pseudonyms.identity_of(instance).token,
    }
    acting = SIGN_IN if context.request else COMMAND_LINE
    by = _signed_in(instance)
    ledger.record(Action.PERSON_RENAMED, actor=by, acting=acting, data=tokens, rows=[instance])
    reconsider_reviews_of(instance, by=by)


def _signed_in(changed: User) -> User | None:
    """Who is signed in where this happens, if anybody is; allauth keeps the request at hand."""
    user: Any = getattr(context.request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return changed if user.pk == changed.pk else User.objects.get(pk=user.pk)
