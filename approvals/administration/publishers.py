"""Trusted publishers: pipelines that get an API token in exchange for the identity token of their job, so that no
secret lies in them.

Like its tokens, the publishers of a service account are the owner's to add: no one else comes to act as it.
"""

from collections.abc import Iterable
from datetime import timedelta
from fnmatch import fnmatchcase

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import id_tokens, tokens
from accounts.id_tokens import Job
from accounts.models import ApiToken, TrustedPublisher, User
from approvals import ledger
from approvals import policy as rules
from approvals.administration.shared import PEOPLE, may, record
from approvals.models import Action
from approvals.workflow import Invalid
from approvals.workflow.shared import WorkflowError, require
from approvals.workflow.verbs import lock_people, verb

LASTS = timedelta(minutes=15)
MOST_LIVE = 50
"""Publishers of one service account."""


class NotProven(WorkflowError):
    """The identity token is not accepted, or nothing is exchanged for it."""

    status, usual = 401, "id_token_invalid"


class NotNow(WorkflowError):
    """The issuer did not answer; it may when it is tried again."""

    status, usual = 503, "issuer_unreachable"


def may_add_publisher(by: User, account: User) -> rules.Answer:
    """Whether this person may add trusted publishers to a service account, and why not."""
    if not account.is_active:
        return rules.no("account_inactive", "The account is deactivated. Reactivate it first.")
    if account.is_service_account and account.owner_id == by.pk:
        return rules.YES
    return rules.no("owner_required", "Only the owner of a service account adds its trusted publishers.")


def may_retire_publisher(by: User, publisher: TrustedPublisher) -> rules.Answer:
    """Whether this person may retire it, and why not: of a service account that they own, or any as administrator."""
    if by.pk == publisher.account.owner_id or may(by, PEOPLE):
        return rules.YES
    return rules.no("role_required", "Only the owner and administrators can retire a trusted publisher.")


@verb()
def add_publisher(
    account: User,
    *,
    provider: str,
    issuer: str,
    repository: str,
    ref: str,
    scopes: Iterable[str],
    by: User,
    environment: str = "",
) -> TrustedPublisher:
    """Lets jobs of a repository act as a service account: those on refs that fit the pattern `ref` (`refs/heads/main`,
    `refs/tags/v*`), and of this `environment` unless it is "".

    Raises NotAllowed, or Invalid: an issuer that the installation does not allow, a repository or a pattern that is
    none, scopes that the account cannot have, the same publisher again, one that no job would come to because an older
    one, of whatever account, fits all of its jobs, too many.
    """
    require(may_add_publisher(by, account))
    if provider not in id_tokens.PROVIDERS or issuer not in settings.TOKEN_ISSUERS:
        raise Invalid("Countersign does not accept identity tokens of this issuer.")
    # An issuer is of one kind: else the first who names it could have all others' jobs read in another way.
    there = TrustedPublisher.objects.current().filter(issuer=issuer).values_list("provider", flat=True)
    kind = id_tokens.OF_THEIRS.get(issuer) or there.first() or provider
    if provider != kind:
        raise Invalid(f"The issuer {issuer} is {id_tokens.PROVIDERS[kind]}.")
    if repository.count("/") < 1 or not _is_plain(repository) or "*" in repository:
        raise Invalid("Enter the repository with its owner or group, such as acme/churn.")
    if not ref.startswith("refs/") or not _is_plain(ref):
        raise Invalid("Enter the full ref, such as refs/heads/main or refs/tags/v*.")
    if environment and not _is_plain(environment.replace(" ", "")):
        raise Invalid("Enter the name of the environment, or leave it empty.")
    wanted = list(scopes)
    if problem := tokens.problem_of_scopes(wanted, account):
        raise Invalid(problem)
    here = TrustedPublisher.objects.current().filter(account=account)
    bound = {"issuer": issuer, "ref_pattern": ref, "environment": environment}
    if here.filter(**bound, repository__iexact=repository).exists():
        raise Invalid("This publisher is trusted already.")
    if before := _has_all_of(repository, **bound):
        detail = f"All these jobs act as {before.account.name} already, by the publisher {before}."
        raise Invalid(f"{detail} It must be retired first, by its owner or an administrator.")
    if here.count() >= MOST_LIVE:
        raise Invalid(f"There are {MOST_LIVE} trusted publishers already. Retire those that are no longer used.")
    publisher = TrustedPublisher.objects.create(
        **bound,
        account=account,
        provider=provider,
        repository=repository,
        scopes=[scope for scope in tokens.SCOPES if scope in wanted],
        created_by=by,
    )
    told = {**_facts(publisher), "scopes": publisher.scopes, "issuer": issuer}
    record(Action.PUBLISHER_ADDED, by, data=told, rows=[publisher])
    return publisher


@verb()
def retire_publisher(publisher: TrustedPublisher, *, by: User) -> bool:
    """Ends it; tokens that it got last their minutes. False for one that was retired already. Raises NotAllowed."""
    publisher = TrustedPublisher.objects.select_related("account").get(pk=publisher.pk)
    require(may_retire_publisher(by, publisher))
    retired = {"retired_at": timezone.now(), "retired_by": by}
    if not TrustedPublisher.objects.current().filter(pk=publisher.pk).update(**retired):
        return False
    record(Action.PUBLISHER_RETIRED, by, data=_facts(publisher), rows=[publisher])
    return True


def exchange(id_token: str) -> tuple[ApiToken, str]:
    """An API token for 15 minutes in exchange for the identity token of a job; its row, and the token itself. Each
    identity token is taken once. Asks the issuer for its keys, before any transaction.

    Raises NotProven with a code (`id_token_…`, `wrong_audience`, `issuer_unknown`, `not_trusted`,
    `repository_replaced`, `account_inactive`, `owner_inactive`), or NotNow.
    """
    try:
        job = _verified(id_token)
    except id_tokens.Refused as error:
        kind = NotNow if error.is_temporary else NotProven
        raise kind(error.refusal.detail, code=error.refusal.code) from error
    publisher = _publisher_of(job)
    try:
        return _exchanged(publisher, job)
    except IntegrityError as error:
        raise NotProven("This identity token was used already. Ask for a new one.", code="id_token_used") from error


def _verified(id_token: str) -> Job:
    """Raises id_tokens.Refused. No issuer is asked that no publisher has, or that the installation does not allow."""
    issuer = id_tokens.issuer_of(id_token)
    of_issuer = TrustedPublisher.objects.current().filter(issuer=issuer) if issuer in settings.TOKEN_ISSUERS else None
    provider = of_issuer.values_list("provider", flat=True).first() if of_issuer is not None else None
    if provider is None:
        raise id_tokens.Refused("issuer_unknown", "No trusted publisher has the issuer of this identity token.")
    return id_tokens.verified(id_token, issuer=issuer, provider=provider, audience=settings.SITE_URL)


def _publisher_of(job: Job) -> TrustedPublisher:
    """Raises NotProven. Of several that fit, the oldest."""
    found = TrustedPublisher.objects.current().filter(issuer=job.issuer, repository__iexact=job.repository)
    for publisher in found.order_by("pk"):
        if fnmatchcase(job.ref, publisher.ref_pattern) and publisher.environment in ("", job.environment):
            return publisher
    where = f" in the environment {job.environment}" if job.environment else ""
    raise NotProven(f"No trusted publisher fits {job.repository} on {job.ref}{where}.", code="not_trusted")


@transaction.atomic
def _exchanged(publisher: TrustedPublisher, job: Job) -> tuple[ApiToken, str]:
    """Raises NotProven, and IntegrityError for an identity token that was taken before."""
    account = lock_people([publisher.account])[publisher.account_id]
    publisher = TrustedPublisher.objects.get(pk=publisher.pk)
    if publisher.retired_at is not None:
        raise NotProven("This trusted publisher was retired.", code="not_trusted")
    if not account.is_active:
        raise NotProven(tokens.INACTIVE.detail, code=tokens.INACTIVE.code)
    if not account.is_answered_for:
        raise NotProven(tokens.NO_OWNER.detail, code=tokens.NO_OWNER.code)
    # The first job says which repository it is; one that takes the name over later is another.
    if publisher.repository_id not in ("", job.repository_id):
        detail = f"{job.repository} is not the repository that was trusted. Retire the publisher and add it again."
        raise NotProven(detail, code="repository_replaced")
    TrustedPublisher.objects.filter(pk=publisher.pk, repository_id="").update(repository_id=job.repository_id)
    secret, now = tokens.generate(), timezone.now()
    token = ApiToken.objects.create(
        account=account,
        name=job.repository[-80:],
        digest=tokens.digest_of(secret),
        prefix=tokens.prefix_of(secret),
        scopes=publisher.scopes,
        created_at=now,
        expires_at=now + LASTS,
        publisher=publisher,
        proof=tokens.digest_of(f"{job.issuer}\n{job.token_id}"),
        run=_link(job.run),
    )
    told = {**_facts(publisher), "token": token.name, "prefix": token.prefix, "token_id": token.pk, "run": token.run}
    told |= {"ref": job.ref, "environment": job.environment}
    ledger.record(Action.TOKEN_EXCHANGED, actor=account, data=told, rows=[token, publisher])
    return token, secret


def _has_all_of(repository: str, *, issuer: str, ref_pattern: str, environment: str) -> TrustedPublisher | None:
    """The one whose jobs all jobs of this one would be, since the oldest counts."""
    found = TrustedPublisher.objects.current().filter(issuer=issuer, repository__iexact=repository)
    for each in found.select_related("account").order_by("pk"):
        if fnmatchcase(ref_pattern, each.ref_pattern) and each.environment in ("", environment):
            return each
    return None


def _link(run: str) -> str:
    """What the issuer says is signed, and still text of a pipeline."""
    try:
        return tokens.run_link(run)
    except ValueError:
        return ""


def _is_plain(text: str) -> bool:
    return 1 < len(text) <= 200 and text.isascii() and text.isprintable() and not set(text) & set(" <>\"'\\^`{|}")


def _facts(publisher: TrustedPublisher) -> dict[str, object]:
    return {
        "publisher": publisher.pk,
        "account": publisher.account.label,
        "repository": publisher.repository,
        "ref": publisher.ref_pattern,
        "environment": publisher.environment,
    }
