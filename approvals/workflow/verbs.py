"""The one frame of everything that people do: a transaction in which whatever the caller read before it is read again,
under locks that are always taken in the same order. A page, and a click, may be older than what happened meanwhile."""

import inspect
from collections.abc import Callable, Collection, Iterable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from django.db import transaction
from django.db.models import Model, QuerySet

from accounts import tokens
from accounts.models import User
from approvals.ledger import machines
from approvals.models import Policy, PromotionRequest, Target
from approvals.workflow import locks
from approvals.workflow.shared import NotAllowed
from mirror import composed
from mirror.models import ModelVersion, RegisteredModel

P = ParamSpec("P")
R = TypeVar("R")


def verb(edits: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """`@verb()` above a function with a parameter `by`: people, targets, requests, versions and models among its
    arguments are read again in its transaction. `edits` names the argument that carries what is to be saved; its row is
    locked and it is handed on as it is.

    Locked are, in this order, people (by number), the targets of all that is handed over, and requests; rows of
    probations, of the outbox and the head of the ledger come afterwards. So one person does one thing at a time, their
    roles stay what they are until the end, and policies and holders of the target stay what they were judged by: what
    saves a policy or settles a delivery waits for the target's lock too. Raises NotAllowed for who was deactivated.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with transaction.atomic():
                bound = signature.bind(*args, **kwargs)
                read_again(bound.arguments, edits)
                return function(*bound.args, **bound.kwargs)

        run.is_verb = True  # type: ignore[attr-defined]
        return run

    return decorate


def read_again(given: dict[str, Any], edits: str = "") -> None:
    """Puts what the database says now in place of what is `given`. In the caller's transaction. Raises NotAllowed when
    the person `by` whom it is done was deactivated, or the token through which a program does it was revoked."""
    people = lock_people(each for each in given.values() if isinstance(each, User))
    locks.lock_targets(_target_of(each) for each in given.values())
    for name, value in given.items():
        if isinstance(value, User):
            given[name] = people[value.pk]
        elif name == edits:
            continue
        elif isinstance(value, PromotionRequest):
            given[name] = locks.lock_request(value)
        elif isinstance(value, Target | RegisteredModel | ModelVersion):
            given[name] = _read(value)
    by = given.get("by")
    if isinstance(by, User) and not by.is_active and not by.is_countersign:
        raise NotAllowed("Your account was deactivated, so nothing was done.", code="deactivated")
    # Under the lock of whose it is: what hands a service account to another owner ends its tokens under the same.
    if machines.is_revoked():
        raise NotAllowed(tokens.REVOKED.detail, code=tokens.REVOKED.code)


def lock_people(people: Iterable[User]) -> dict[int, User]:
    """The people as they are now, by number; no one changes their roles until the end of the transaction."""
    numbers = {person.pk for person in people}
    found = composed.among(_people, numbers) if numbers else ()
    return {person.pk: person for person in found}


def _people(numbers: Collection[int]) -> QuerySet[User]:
    found: QuerySet[User] = User.objects.select_for_update(no_key=True).filter(pk__in=numbers).order_by("pk")
    return found


def _read(given: Target | RegisteredModel | ModelVersion) -> Model:
    for found in composed.objects(_ROWS[type(given)], given.pk):
        return cast(Model, found)
    raise type(given).DoesNotExist


_ROWS: dict[type[Model], composed.Compose] = {
    Target: lambda pk: Target.objects.filter(pk=pk),
    RegisteredModel: lambda pk: RegisteredModel.objects.filter(pk=pk),
    ModelVersion: lambda pk: ModelVersion.objects.select_related("model").filter(pk=pk),
}


def _target_of(value: Any) -> int | None:
    if isinstance(value, Target):
        return value.pk
    return value.target_id if isinstance(value, PromotionRequest | Policy) else None
