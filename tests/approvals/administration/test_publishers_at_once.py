"""Trusted publishers, with real commits: what happens at the same moment."""

from typing import Any

from django.conf import settings as configured
from django.core.cache import cache

from accounts.models import ApiToken
from approvals import administration, ledger
from approvals.workflow import WorkflowError
from tests.support import issuer as issuers
from tests.support.factories import make_person, make_service_account, make_token
from tests.support.threads import at_once


def test_of_one_identity_token_shown_at_once_one_is_exchanged(committed: None, settings: Any) -> None:
    rita = make_person("Rita Sanz", "requester")
    robot = make_service_account(owner=rita)
    cache.clear()
    with issuers.running() as issuer:
        settings.TOKEN_ISSUERS = [issuer.url]
        administration.add_publisher(
            robot,
            provider="github",
            issuer=issuer.url,
            repository="acme/churn",
            ref="refs/heads/main",
            scopes=["read"],
            by=rita,
        )
        administration.exchange(issuer.github(configured.SITE_URL))  # the keys are known from here on
        id_token = issuer.github(configured.SITE_URL)
        results = at_once(*[lambda: administration.exchange(id_token)] * 4)
    codes = [each.code for each in results if isinstance(each, WorkflowError)]
    assert codes == ["id_token_used"] * 3
    assert ApiToken.objects.count() == 2
    assert ledger.verify(with_references=True).problem == ""
    cache.clear()


def test_who_is_deactivated_while_a_token_is_made_has_none_that_works(committed: None) -> None:
    ada, rita = make_person("Ada Brandt", "administrator"), make_person("Rita Sanz", "requester")
    at_once(
        *[lambda name=f"token {number}": make_token(rita, name=name) for number in range(3)],
        lambda: administration.set_active(rita, is_active=False, by=ada),
    )
    assert not ApiToken.objects.live().exists()
    assert ledger.verify(with_references=True).problem == ""
