"""Reviews afterwards: asked for by Countersign itself, judged like any other, and what follows from them."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import COUNTERSIGN, User
from approvals import assessment, ledger, watch, workflow
from approvals.models import Incident, PromotionRequest, RequestKind, Status, Target, Tenure
from approvals.watch import restoring
from tests.support.factories import make_person, make_request, make_version
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, answered_by, deliver, observe, only_incident, running, version

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(registry: FakeRegistry, production: Target) -> PromotionRequest:
    """v8 was put into Production and @champion round the gate; the worker has run its checks."""
    answered_by("review", production)
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    registry.set_alias(MODEL, "champion", 8)
    assert observe(registry) == 2
    request = PromotionRequest.objects.get()
    assert assessment.assess(request.pk, registry) == "concluded"
    request.refresh_from_db()
    return request


def test_the_request_says_what_was_found_and_compares_with_the_last_approved_holder(asked: PromotionRequest) -> None:
    assert (asked.kind, asked.status, asked.version.number) == (RequestKind.RETROACTIVE, Status.PENDING, 8)
    assert asked.champion is not None
    assert asked.champion.number == json.loads(asked.evidence)["champion"]["number"] == 6
    stage, alias = Incident.objects.order_by("-place")
    assert stage.request == asked
    assert alias.details["request"] == asked.pk
    assert f"Incident #{stage.pk}" in asked.justification
    assert "version 6 held it; now, version 8" in asked.justification
    assert asked.requester.email == COUNTERSIGN


def test_the_account_of_countersign_cannot_sign_in_and_is_made_once(asked: PromotionRequest) -> None:
    account = User.objects.countersign()
    assert account == asked.requester
    assert (account.is_active, account.is_service_account, account.has_usable_password()) == (False, True, False)
    assert User.objects.filter(email=COUNTERSIGN).count() == 1
    assert account not in User.objects.people()


def test_an_approval_adopts_what_is_there(registry: FakeRegistry, asked: PromotionRequest, remy: User) -> None:
    before = set(Tenure.objects.open().values_list("pk", flat=True))
    workflow.review(asked, by=remy, verdict="approve")
    assert watch.look(registry).found == 0
    assert deliver(asked, registry) == "applied"
    assert observe(registry) == 0
    assert set(Incident.objects.values_list("resolution", flat=True)) == {"reviewed"}
    held = Tenure.objects.open().filter(place__in=["Production", "@champion"])
    assert {(tenure.version_number, tenure.origin, tenure.request_id) for tenure in held} == {(8, "outside", asked.pk)}
    assert set(held.values_list("pk", flat=True)) <= before
    assert "countersign.request" in registry.version(MODEL, 8).tags
    assert ledger.verify().is_intact


@pytest.mark.parametrize("end", ["rejected", "expired"])
def test_without_an_approval_the_last_approved_holder_is_put_back(
    registry: FakeRegistry, asked: PromotionRequest, remy: User, end: str
) -> None:
    if end == "rejected":
        workflow.review(asked, by=remy, verdict="reject", comment="Not tested.")
    else:
        PromotionRequest.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
        assert workflow.expire_due() == 1
    watch.follow()
    assert Incident.objects.filter(is_owed=True).count() == 2
    assert restoring.restore_due(registry) == 2
    assert registry.version(MODEL, 6).stage == "Production"
    assert registry.model(MODEL).aliases == {"champion": 6}
    assert set(Incident.objects.values_list("resolution", flat=True)) == {"put_back"}
    assert observe(registry) == 0


def test_what_is_changed_back_needs_no_review(registry: FakeRegistry, asked: PromotionRequest) -> None:
    registry.set_stage(MODEL, 6, "Production", archive_existing=True)
    registry.set_alias(MODEL, "champion", 6)
    assert observe(registry) == 0
    asked.refresh_from_db()
    assert asked.status == Status.WITHDRAWN
    assert set(Incident.objects.values_list("resolution", flat=True)) == {"undone"}
    assert running("Production") == {6: "found"}


def test_what_is_replaced_from_outside_again_is_reviewed_instead(
    registry: FakeRegistry, asked: PromotionRequest
) -> None:
    registry.set_stage(MODEL, 5, "Production", archive_existing=True)
    registry.set_alias(MODEL, "champion", 5)
    assert observe(registry) == 2
    asked.refresh_from_db()
    assert asked.status == Status.WITHDRAWN
    second = PromotionRequest.objects.latest("pk")
    assert (second.kind, second.version.number) == (RequestKind.RETROACTIVE, 5)
    assert second.champion is not None
    assert second.champion.number == 6


def test_a_request_that_asks_for_it_already_is_the_review(
    registry: FakeRegistry, production: Target, rita: User, remy: User
) -> None:
    answered_by("review", production)
    request = make_request(version(8), production, by=rita)
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    assert PromotionRequest.objects.count() == 1
    assert only_incident().details["request"] == request.pk


def test_nothing_can_be_reviewed_where_nothing_holds_the_place(registry: FakeRegistry, production: Target) -> None:
    answered_by("review", production)
    registry.delete_alias(MODEL, "champion")
    assert observe(registry) == 1
    assert PromotionRequest.objects.count() == 0
    assert "no version to review" in only_incident().details["not_reviewed"]


# --- Resolving


def test_a_person_resolves_with_a_reason(registry: FakeRegistry, asked: PromotionRequest, remy: User) -> None:
    incident = Incident.objects.get(place="Production")
    watch.resolve(incident, by=remy, reason="Agreed on the phone.")
    assert (incident.resolution, incident.resolved_by, incident.reason) == ("explained", remy, "Agreed on the phone.")
    asked.refresh_from_db()
    assert asked.status == Status.WITHDRAWN
    assert running("Production") == {8: "outside"}
    assert observe(registry) == 0
    with pytest.raises(workflow.Conflict):
        watch.resolve(incident, by=remy, reason="Again.")


def test_resolving_takes_the_permission_and_a_reason(registry: FakeRegistry, rita: User, vera: User, ada: User) -> None:
    registry.set_alias(MODEL, "champion", 8)
    assert observe(registry) == 1
    for person in (rita, vera, make_person("Nobody Noe")):
        with pytest.raises(workflow.NotAllowed):
            watch.resolve(only_incident(), by=person, reason="Fine.")
    with pytest.raises(workflow.Invalid):
        watch.resolve(only_incident(), by=ada, reason="  ")
    watch.resolve(only_incident(), by=ada, reason="Fine.")
    assert only_incident().resolved_by == ada


def test_an_explained_change_is_not_approved_by_it(registry: FakeRegistry, ada: User) -> None:
    registry.set_alias(MODEL, "champion", 8)
    assert observe(registry) == 1
    watch.resolve(only_incident(), by=ada, reason="Fine.")
    registry.set_alias(MODEL, "champion", 5)
    assert observe(registry) == 1
    assert Incident.objects.latest("pk").approved == [6]


def test_the_model_is_not_hidden_from_other_requests(registry: FakeRegistry, production: Target, rita: User) -> None:
    """A version of another model can be asked for while a review is open."""
    answered_by("review", production)
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    assert make_request(make_version("other", 1), production, by=rita).status == Status.PENDING
