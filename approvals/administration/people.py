"""People, their roles and groups, and exports of the history."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.contrib.auth.models import Group
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.text import slugify

from accounts import identity_providers, roles, security_log, sessions
from accounts.identity_providers import IdentityProvider, roles_asserted
from accounts.models import ApiToken, TrustedPublisher, User
from accounts.security_log import Event
from approvals import ledger, workflow
from approvals.administration.shared import COMMAND_LINE, EXPORT, PEOPLE, record, require, valid
from approvals.ledger import pseudonyms
from approvals.models import Action, AuditEvent, PromotionRequest, Review, Status, Verdict
from approvals.workflow import Invalid
from approvals.workflow.verbs import lock_people, verb

IDENTITY_PROVIDER = "identity provider"
"""With its name after it, as who acted."""

DOMAIN = "service-account.invalid"
"""`.invalid` never resolves (RFC 2606), so no mail goes there and no provider can vouch for it."""


@verb()
def invite(*, email: str, name: str, groups: Iterable[Group], by: User) -> User:
    """Adds a person without a password: the invitation's link sets one, or the identity provider signs them in.

    Raises NotAllowed, or Invalid (no name, the address is taken).
    """
    require(by, PEOPLE)
    person = _add_person(email=email, name=name, password=None, groups=groups)
    record(Action.PERSON_INVITED, by, data={**_who(person), "groups": _groups_of(person)}, rows=[person])
    return person


@transaction.atomic
def create_person(*, email: str, name: str, password: str, groups: Iterable[Group]) -> User:
    """Adds a person with a password where no one is signed in who could invite: for the command line alone. Asks for no
    permission, because anyone who can run it owns the installation. Raises Invalid (no name, bad or taken address).
    """
    person = _add_person(email=email, name=name, password=password, groups=groups)
    data = {**_who(person), "groups": _groups_of(person)}
    ledger.record(Action.PERSON_INVITED, actor=None, acting=COMMAND_LINE, data=data, rows=[person])
    return person


@verb()
def make_service_account(*, name: str, owner: User, groups: Iterable[Group] = (), by: User) -> User:
    """Adds an account for a program, which never signs in and never reviews; the owner makes its tokens and counts as
    the requester of what it asks. It has an address at which no mail arrives. Later it is changed by `set_person` and
    ended by `set_active`.

    Raises NotAllowed, or Invalid: no name, one that another account has, an owner who is no active person, a role that
    signs.
    """
    require(by, PEOPLE)
    name = " ".join(name.split())
    email = f"{slugify(name)[:100]}@{DOMAIN}"
    if not slugify(name) or len(name) > 120 or not name.isprintable():
        raise Invalid("Enter a name for the service account, such as train-bot; it appears on its requests.")
    if User.objects.filter(email__iexact=email).exists():
        raise Invalid("Another service account has this name.")
    wanted = list(groups)
    _refuse_signing(wanted)
    answers = _owner_of(owner)
    with valid("Another service account has this name."):
        account: User = User.objects.create_user(email=email, name=name, is_service_account=True, owner=answers)
    account.groups.set(wanted)
    told = {**_who(account), "owner": owner.label, "groups": _groups_of(account)}
    record(Action.SERVICE_ACCOUNT_MADE, by, data=told, rows=[account])
    return account


@verb()
def set_groups(person: User, *, groups: Iterable[Group], by: User) -> None:
    """Gives and takes roles and groups. Raises NotAllowed, or Invalid when the last administrator would be lost."""
    require(by, PEOPLE)
    refuse_pseudonymised(person)
    # Do not move these two down: requests are locked before the first event, and what counts administrators below must
    # not be changed by another transaction meanwhile.
    lock_concerned(person)
    _lock_administrators()
    before = _groups_of(person)
    person.groups.set(groups)
    after = _groups_of(person)
    # Asked of the result; a refusal takes the change back with the transaction.
    _keep_an_administrator()
    _refuse_decided_elsewhere(person, set(before) ^ set(after))
    if before != after:
        record(Action.PERSON_CHANGED, by, data={**_who(person), "before": before, "after": after}, rows=[person])
        reconsider_reviews_of(person, by=by)


@transaction.atomic
def apply_claims(person: User, *, provider: IdentityProvider, values: Sequence[str]) -> None:
    """Gives the person, of the roles and groups that the provider decides about, exactly those that `values` of its
    claim mean; the others stay. The last administrator stays one. No event where nothing changes, and nothing for who
    cannot sign in."""
    person = lock_people([person])[person.pk]
    if not person.is_active or person.is_service_account:
        return
    lock_concerned(person)  # as in `set_groups`
    _lock_administrators()
    before = _groups_of(person)
    wanted = {*before} - provider.decided | provider.granted(values)
    person.groups.set(Group.objects.filter(name__in=wanted))
    if roles.ADMINISTRATOR in before and not _has_administrator():
        person.groups.add(Group.objects.get(name=roles.ADMINISTRATOR))
        security_log.record_once_committed(Event.IDENTITY_ADMINISTRATOR_KEPT, person=person.pk, provider=provider.name)
    after = _groups_of(person)
    if before != after:
        told = {**_who(person), "before": before, "after": after, "claims": sorted(values)}
        acting = f"{IDENTITY_PROVIDER} {provider.name}"
        ledger.record(Action.PERSON_CHANGED, actor=None, acting=acting, data=told, rows=[person])
        reconsider_reviews_of(person, by=None)
        security_log.record_once_committed(
            Event.IDENTITY_CLAIMS_APPLIED, person=person.pk, provider=provider.name, before=before, after=after
        )


def listen() -> None:
    """Called once, when the programs start: sign-in knows nothing of the ledger, and must not."""
    roles_asserted.connect(_apply_asserted, dispatch_uid="approvals.claims")


def _apply_asserted(sender: Any, person: User, provider: IdentityProvider, values: Sequence[str], **_: Any) -> None:
    apply_claims(person, provider=provider, values=values)


@verb()
def set_person(
    person: User,
    *,
    groups: Iterable[Group],
    mlflow_names: Iterable[str],
    is_service_account: bool,
    by: User,
    former_mlflow_names: Iterable[str] | None = None,
    owner: User | None = None,
) -> None:
    """Saves everything that the page of a person has: roles and groups, what MLflow calls them and called them before
    (None: as it was), whether it is a program, and who answers for that. A name in MLflow that is taken away becomes a
    former one, which continues counting; what is taken from those was never theirs. With another owner, the API
    tokens of a service account end.

    Raises NotAllowed, or Invalid: a service account cannot be a reviewer or the last administrator, and has an owner;
    no one says of themself that a name was never theirs.
    """
    require(by, PEOPLE)
    refuse_pseudonymised(person)
    lock_concerned(person)
    wanted, names = list(groups), list(mlflow_names)
    if is_service_account:
        _refuse_signing(wanted)
    owner = _owner_of(owner, person) if is_service_account else None
    former = person.former_mlflow_names if former_mlflow_names is None else list(former_mlflow_names)
    if by.pk == person.pk and not set(person.former_mlflow_names) <= {*former, *names}:
        raise Invalid("You cannot remove a name of your own: ask another administrator.")
    # A name that is taken away continues counting: who trained under it stays a contributor.
    shed = [name for name in person.mlflow_names if name not in names]
    former = [name for name in dict.fromkeys([*former, *shed]) if name not in names]
    before, owned_by = _identity(person), person.owner_id
    person.mlflow_names, person.former_mlflow_names = names, former
    person.is_service_account, person.owner = is_service_account, owner
    after = _identity(person)
    if before != after:
        person.save(update_fields=["mlflow_names", "former_mlflow_names", "is_service_account", "owner"])
        told = {**_who(person), "before": _named(person, before), "after": _named(person, after)}
        # Those who had the secrets do not count as the requester any more.
        ended = [] if person.owner_id == owned_by else end_tokens(person, by=by)
        record(Action.PERSON_IDENTIFIED, by, data=told | _ended(ended), rows=[person, *ended])
        reconsider_reviews_of(person, by=by)
    # A verb of its own, with its own event and its own look at their approvals.
    set_groups(person, groups=wanted, by=by)


@verb()
def set_active(person: User, *, is_active: bool, by: User | None) -> None:
    """Deactivates or reactivates; no one is ever deleted. API tokens end with the first and do not come back with the
    second. `by` None is the command line. Raises NotAllowed, or Invalid for the last administrator."""
    require(by, PEOPLE)
    refuse_pseudonymised(person)
    lock_concerned(person)
    _lock_administrators()
    # Its row count tells whether anything changes: a second click records nothing.
    if not User.objects.filter(pk=person.pk, is_active=not is_active).update(is_active=is_active):
        return
    _keep_an_administrator()
    ended = [] if is_active else end_tokens(person, by=by)
    record(
        Action.PERSON_REACTIVATED if is_active else Action.PERSON_DEACTIVATED,
        by,
        data={**_who(person), "groups": _groups_of(person)} | _ended(ended),
        rows=[person, *ended],
    )
    if not is_active:
        sessions.end_all(person, "deactivated")
        security_log.record_once_committed(Event.ACCOUNT_DEACTIVATED, person=person.pk, by=by.pk if by else None)
    reconsider_reviews_of(person, by=by)


@verb()
def add_group(name: str, *, by: User) -> Group:
    """A group that slots can name, such as risk. Raises NotAllowed or Invalid (the name is taken)."""
    require(by, PEOPLE)
    name = name.strip()
    if "|" in name or "*" in name:
        raise Invalid('A group name cannot contain "|" or "*".')
    if not name or Group.objects.filter(name__iexact=name).exists():
        raise Invalid("Another group has this name.")
    with valid("Another group has this name."):
        group = Group(name=name)
        group.full_clean()
        group.save()
    record(Action.GROUP_CREATED, by, data={"group": name}, rows=[group])
    return group


@verb()
def record_evidence(*, by: User, what: str, **data: Any) -> AuditEvent:
    """Notes that evidence for an audit was exported: `what` ("population", "archive", …), and with which filters, seed
    and size. Raises NotAllowed."""
    require(by, EXPORT)
    security_log.record_once_committed(Event.EXPORT_MADE, person=by.pk, what=what)
    return record(Action.EVIDENCE_EXPORTED, by, data={"what": what, **data})


@verb()
def record_export(*, by: User, filters: Mapping[str, Any]) -> AuditEvent:
    """Notes that the history was exported, and which part. The export ends just before it. Raises NotAllowed."""
    require(by, EXPORT)
    security_log.record_once_committed(Event.EXPORT_MADE, person=by.pk, what="history")
    return record(Action.HISTORY_EXPORTED, by, data={"filters": dict(filters)})


def _add_person(*, email: str, name: str, password: str | None, groups: Iterable[Group]) -> User:
    taken = "There is already a person with this e-mail address."
    if not name.strip():
        raise Invalid("Enter the person's full name; it appears on their requests and approvals.")
    if User.objects.filter(email__iexact=email).exists():
        raise Invalid(taken)
    with valid(taken):
        validate_email(email)
        person: User = User.objects.create_user(email=email, password=password, name=name.strip())
    person.groups.set(groups)
    return person


def reconsider_reviews_of(person: User, *, by: User | None) -> None:
    """Their approvals may count again, or no longer, in requests that are still open; and so may those of anyone who
    answers for a service account. `by` made the change, None: no one who is signed in. In the caller's transaction,
    which has called `lock_concerned` before it recorded anything."""
    for request in _concerned(person):
        workflow.reconsider(request, by=by)


def lock_concerned(person: User) -> None:
    """Before anything is recorded: who decides on a request locks it first and the head of the ledger afterwards."""
    list(_concerned(person).select_for_update(of=("self",)).values_list("pk"))


def _concerned(person: User) -> QuerySet[PromotionRequest]:
    """Waiting requests that they have approved, or that they asked for."""
    given = Review.objects.filter(reviewer=person, voided_at=None, verdict=Verdict.APPROVE)
    waiting = PromotionRequest.objects.filter(status=Status.PENDING)
    return waiting.filter(Q(pk__in=given.values("request")) | Q(requester=person)).order_by("pk")


def refuse_pseudonymised(person: User) -> None:
    """Raises Invalid."""
    if User.objects.filter(pk=person.pk).exclude(pseudonymised_at=None).exists():
        raise Invalid("This person was pseudonymised; the account cannot be changed any more.")


def _owner_of(owner: User | None, person: User | None = None) -> User:
    """The owner of a service account (`person`, if there is one yet), if they can be. Raises Invalid."""
    if owner is None or not owner.is_active or owner.is_service_account or owner == person:
        raise Invalid(
            "A service account needs an owner: an active person, who counts as the requester of its requests."
        )
    return owner


def _refuse_signing(groups: Iterable[Group]) -> None:
    """What a service account cannot be. Raises Invalid."""
    if any(group.name in (roles.REVIEWER, roles.ADMINISTRATOR) for group in groups):
        raise Invalid("A service account can never sign, so it cannot be a reviewer or administrator.")


def end_tokens(account: User, *, by: User | None) -> list[ApiToken | TrustedPublisher]:
    """Revokes all of them, retires all that get some in exchange, and returns what this ended, for the event of why. In
    the caller's transaction."""
    ended: list[ApiToken | TrustedPublisher] = []
    for kind, words in ((ApiToken, "revoked"), (TrustedPublisher, "retired")):
        live = kind.objects.filter(account=account, **{f"{words}_at": None})
        numbers = list(live.values_list("pk", flat=True))
        live.filter(pk__in=numbers).update(**{f"{words}_at": timezone.now(), f"{words}_by": by})
        ended += kind.objects.filter(pk__in=numbers).order_by("pk")
    return ended


def _ended(rows: Iterable[ApiToken | TrustedPublisher]) -> dict[str, Any]:
    names = [row.name for row in rows if isinstance(row, ApiToken)]
    retired = [str(row) for row in rows if isinstance(row, TrustedPublisher)]
    told = {"revoked_tokens": names, "retired_publishers": retired}
    return {key: value for key, value in told.items() if value}


def _identity(person: User) -> dict[str, Any]:
    """What PERSON_IDENTIFIED tells. Former names and an owner are told of those who have any."""
    told = {"mlflow_names": person.mlflow_names, "is_service_account": person.is_service_account}
    told |= {"former_mlflow_names": person.former_mlflow_names} if person.former_mlflow_names else {}
    return told | ({"owner": person.owner.label} if person.owner else {})


def _named(person: User, kind: Mapping[str, Any]) -> dict[str, Any]:
    """What they are called in MLflow points at them as their own name does, so the ledger has it as tokens too."""
    tokens = {
        key: [pseudonyms.token_of(person, str(name)) for name in kind[key]]
        for key in ("mlflow_names", "former_mlflow_names")
        if key in kind
    }
    return {**kind, **tokens}


def _who(person: User) -> dict[str, Any]:
    """The person in an event: by the label that people read, and by the number that outlives every label."""
    return {"person": person.label, "person_id": person.pk}


def _groups_of(person: User) -> list[str]:
    return sorted(person.groups.values_list("name", flat=True))


def _lock_administrators() -> None:
    """Two administrators who take the role from each other at the same moment do it one after the other."""
    list(Group.objects.select_for_update().filter(name=roles.ADMINISTRATOR))


def _has_administrator() -> bool:
    return bool(User.objects.active().filter(groups__name=roles.ADMINISTRATOR).exists())


def _refuse_decided_elsewhere(person: User, changed: Collection[str]) -> None:
    """Raises Invalid for roles and groups that an identity provider would set back at the next sign-in."""
    decided = identity_providers.decided_for(person) if changed else {}
    for name in sorted(decided.keys() & changed):
        raise Invalid(f"{decided[name]} decides whether {person.name} has {name}; change it there.")


def _keep_an_administrator() -> None:
    if not _has_administrator():
        raise Invalid("At least one administrator is required. Give the role to another person first.")
