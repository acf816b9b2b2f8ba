"""Which versions are offered to those who may request: the newest of a model, ready, never asked for, never held."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.models import Target
from approvals.selectors import new_versions
from mirror.models import ModelVersion
from tests.support.factories import make_policy, make_request, make_version
from tests.support.pages import text_of
from tests.support.world import hold, settle

pytestmark = pytest.mark.django_db


def offered(**question: int) -> list[str]:
    return [f"{each.model.name} v{each.number}" for each in new_versions.newest(**question)]


def test_only_the_newest_version_of_a_model_is_offered_and_only_while_nobody_asked(
    rita: User, production: Target
) -> None:
    hold(make_version("churn", 1), production)
    assert offered() == []
    two = make_version("churn", 2)
    assert offered() == ["churn v2"]
    asked = make_request(two, production, by=rita)
    assert offered() == []
    workflow.withdraw(asked, by=rita)
    assert offered() == [], "it was looked at once; its page leads to the form again"
    make_version("churn", 3, status="PENDING_REGISTRATION")
    assert offered() == [], "version 2 is not the newest any more"
    make_version("churn", 4)
    assert offered() == ["churn v4"]


def test_what_passed_through_staging_is_offered_for_production(
    rita: User, remy: User, rosa: User, staging: Target, production: Target
) -> None:
    make_policy("*", staging, (1, None))
    asked = make_request(make_version("churn", 1), staging, by=rita)
    assert offered() == []
    settle(asked, remy)
    assert offered() == ["churn v1"]
    settle(make_request(asked.version, production, by=rita), remy, rosa)
    assert offered() == []
    hold(make_version("churn", 2), production)
    assert offered() == [], "it is there, however it came there"
    Target.objects.update(retired_at=timezone.now())
    assert offered() == []


def test_what_is_gone_is_not_offered_and_there_are_at_most_three_the_newest_first() -> None:
    now = timezone.now()
    for number, name in enumerate(("a", "b", "c", "d", "e")):
        version = make_version(name)
        ModelVersion.objects.filter(pk=version.pk).update(created_at=now + timedelta(minutes=number))
    ModelVersion.objects.filter(model__name="e").update(deleted_at=now)
    assert offered() == ["d v1", "c v1", "b v1"]
    model = ModelVersion.objects.get(model__name="a").model_id
    assert offered(model=model) == ["a v1"]
    for is_there in (True, False):
        with CaptureQueriesContext(connection) as found:
            assert bool(offered()) == is_there
        assert len(found) == 2, "the last target and the newest versions, whether one of them is offered or none"
        ModelVersion.objects.update(status="PENDING_REGISTRATION")


def test_the_overview_and_the_page_of_the_model_lead_to_the_form(
    client: Client, rita: User, vera: User, production: Target
) -> None:
    hold(make_version("churn", 1), production)
    make_version("churn", 2)
    form = reverse("approvals:request_new", args=["churn", 2])
    pages = {reverse("overview"): "Request promotion", reverse("model", args=["churn"]): "Request promotion of v2"}
    for address, words in pages.items():
        client.force_login(rita)
        shown = client.get(address).content.decode()
        assert f'href="{form}"' in shown
        assert words in text_of(shown)
        client.force_login(vera)
        assert form not in client.get(address).content.decode()
    client.force_login(rita)
    assert 'value="Production" checked' in client.get(form).content.decode()
