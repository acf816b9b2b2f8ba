"""API tokens.

A token is made by those who answer for what is done with it: a person for themself, the owner for a service account. So
no one else ever had the secret, and who counts as the requester is who can have asked.
"""

from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone

from accounts import security_log, tokens
from accounts.models import ApiToken, User
from accounts.security_log import Event
from approvals import policy as rules
from approvals.administration.shared import PEOPLE, may, record
from approvals.models import Action
from approvals.workflow import Invalid
from approvals.workflow.shared import require
from approvals.workflow.verbs import verb

MOST_LIVE = 50
"""Tokens of one account that are neither revoked nor expired."""


def may_make_token(by: User, account: User) -> rules.Answer:
    """Whether this person may make tokens of this account, and why not."""
    if not account.is_active:
        return rules.no("account_inactive", "The account is deactivated. Reactivate it first.")
    if by.pk == (account.owner_id if account.is_service_account else account.pk):
        return rules.YES
    if account.is_service_account:
        return rules.no("owner_required", "Only the owner of a service account makes its tokens.")
    return rules.no("own_token", "People make their own tokens.")


def may_revoke_token(by: User, token: ApiToken) -> rules.Answer:
    """Whether this person may revoke it, and why not: theirs, of a service account that they own, or anybody's."""
    if by.pk in (token.account_id, token.account.owner_id) or may(by, PEOPLE):
        return rules.YES
    return rules.no("role_required", "Only administrators can revoke other people's tokens.")


@verb()
def make_token(
    account: User, *, name: str, scopes: Iterable[str], by: User, days: int = tokens.DEFAULT_DAYS
) -> tuple[ApiToken, str]:
    """Makes a token of a person (`by` themself) or of a service account (`by` owns it) that lasts `days` days of 24
    hours. Returns its row, and the token itself, which is to be shown once. It is nowhere else.

    Raises NotAllowed, or Invalid: no name or one that a live token of the account has, scopes that it cannot have, more
    than a year, too many tokens.
    """
    require(may_make_token(by, account))
    name = " ".join(name.split())
    if not name or len(name) > 80 or not name.isprintable():
        raise Invalid("Enter what the token is for, in at most 80 characters.")
    wanted = list(scopes)
    if problem := tokens.problem_of_scopes(wanted, account):
        raise Invalid(problem)
    if not 1 <= days <= tokens.MOST_DAYS:
        raise Invalid(f"A token lasts at least 1 and at most {tokens.MOST_DAYS} days.")
    live = ApiToken.objects.live().filter(account=account)
    if live.filter(name__iexact=name).exists():
        raise Invalid("Another token has this name. Revoke that one first, or choose another name.")
    if live.count() >= MOST_LIVE:
        raise Invalid(f"There are {MOST_LIVE} tokens already. Revoke those that are no longer used.")
    secret, now = tokens.generate(), timezone.now()
    token = ApiToken.objects.create(
        account=account,
        name=name,
        digest=tokens.digest_of(secret),
        prefix=tokens.prefix_of(secret),
        scopes=[scope for scope in tokens.SCOPES if scope in wanted],
        created_at=now,
        expires_at=now + timedelta(days=days),
        made_by=by,
    )
    told = {**_facts(token, by), "scopes": token.scopes, "expires_at": token.expires_at.isoformat()}
    record(Action.TOKEN_MADE, by, data=told, rows=[token])
    security_log.record_once_committed(Event.TOKEN_MADE, person=by.pk, token=token.pk, account=account.pk)
    return token, secret


@verb()
def revoke_token(token: ApiToken, *, by: User) -> bool:
    """Ends a token at once; False for one that was revoked already, of which nothing is recorded. Raises NotAllowed."""
    token = ApiToken.objects.select_related("account").get(pk=token.pk)
    require(may_revoke_token(by, token))
    # Its row count tells: a second click records nothing.
    if not ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now(), revoked_by=by):
        return False
    record(Action.TOKEN_REVOKED, by, data=_facts(token, by), rows=[token])
    security_log.record_once_committed(Event.TOKEN_REVOKED, person=by.pk, token=token.pk, account=token.account_id)
    return True


def _facts(token: ApiToken, by: User) -> dict[str, object]:
    named = {"token": token.name, "prefix": token.prefix, "token_id": token.pk}
    return named | {"account": token.account.label, "is_own": by.pk == token.account_id}
