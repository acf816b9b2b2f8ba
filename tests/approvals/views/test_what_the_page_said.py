"""The whole room. A click does what the page said; what is gone cannot be approved; a request says which policy it is
under."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from approvals import administration, workflow
from approvals.models import Action, AuditEvent, OutboxEntry, Policy, PromotionRequest, Status, Target
from approvals.policy import RollbackRule
from approvals.views import policies
from approvals.workflow import Conflict
from mirror import sync
from mirror.models import ModelVersion
from tests.support import world
from tests.support.factories import approve, check, make_policy, make_request, make_rule, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(rita: User, production: Target) -> PromotionRequest:
    """Two approvals needed."""
    make_policy("*", production, (2, None))
    return make_request(make_version(), production, by=rita)


def page(client: Client, person: User, request: PromotionRequest) -> str:
    client.force_login(person)
    return client.get(request.get_absolute_url()).content.decode()


# --- What an approval would do ----------------------------------------------------------------------------------------


def test_an_approval_that_would_deliver_asks_again(asked: PromotionRequest, remy: User, rosa: User) -> None:
    approve(asked, rosa)
    with pytest.raises(Conflict, match=r"^Rosa Lind approved meanwhile: yours would be the last approval"):
        workflow.review(asked, by=remy, verdict="approve", effect="counts")
    assert not OutboxEntry.objects.exists()
    workflow.review(asked, by=remy, verdict="approve", effect="delivers")
    assert OutboxEntry.objects.count() == 1


def test_an_approval_that_would_not_be_the_last_any_more_asks_again(
    asked: PromotionRequest, remy: User, rosa: User, ada: User
) -> None:
    approve(asked, rosa)
    administration.set_active(rosa, is_active=False, by=ada)
    with pytest.raises(Conflict, match="An approval no longer counts: yours would not be the last one"):
        workflow.review(asked, by=remy, verdict="approve", effect="delivers")


def test_what_can_be_undone_is_recorded_and_answered_with_what_happened(
    asked: PromotionRequest, remy: User, rosa: User, client: Client, settings: Any
) -> None:
    settings.UNDO_SECONDS = 10
    before = page(client, remy, asked)
    assert "You can undo your decision for 10 seconds." in before
    approve(asked, rosa)
    posted = {"verdict": "approve", "fingerprint": asked.fingerprint, "effect": "counts"}
    answer = client.post(reverse("approvals:request_review", args=[asked.pk]), posted, follow=True)
    shown = answer.content.decode()
    told = "Your approval was the last one: v1 is being delivered. Rosa Lind approved while you were reading."
    assert told in shown
    assert re.search(r"</svg>Undo\s*</button>", shown)
    # Told once: it is what this click did.
    assert told not in page(client, remy, asked)


def test_an_approval_that_does_less_is_answered_with_that(
    asked: PromotionRequest, remy: User, rosa: User, ada: User, client: Client, settings: Any
) -> None:
    settings.UNDO_SECONDS = 10
    approve(asked, rosa)
    administration.set_active(rosa, is_active=False, by=ada)
    client.force_login(remy)
    posted = {"verdict": "approve", "fingerprint": asked.fingerprint, "effect": "delivers"}
    answer = client.post(reverse("approvals:request_review", args=[asked.pk]), posted, follow=True)
    assert "Your approval was not the last one, because another one no longer counts" in answer.content.decode()


def test_a_freeze_that_began_meanwhile_is_told(
    asked: PromotionRequest, remy: User, rosa: User, client: Client, settings: Any
) -> None:
    approve(asked, rosa)
    assert "Approve and deliver v1 now" in page(client, remy, asked)
    world.freeze()
    posted = {"verdict": "approve", "fingerprint": asked.fingerprint, "effect": "delivers"}
    address = reverse("approvals:request_review", args=[asked.pk])
    answer = client.post(address, posted)
    assert answer.status_code == 409
    assert "a freeze holds the delivery. Approve again if you want that." in answer.content.decode()
    assert re.search(r"Approve v1; delivery waits until\s+<time", answer.content.decode())
    assert '<input type="hidden" name="effect" value="waits">' in answer.content.decode()
    settings.UNDO_SECONDS = 10
    answer = client.post(address, posted, follow=True)
    assert "A freeze has begun: v1 is approved, and is delivered when it ends." in answer.content.decode()


def test_what_cannot_be_undone_asks_again(
    rita: User, remy: User, rosa: User, production: Target, settings: Any
) -> None:
    registry = world.make_registry()
    make_policy("*", production, (1, None), rollback=RollbackRule(approvals=2, permission_suffices=False))
    for number in (1, 2):
        world.promote(registry, number, production, by=rita, approvers=(remy,))
    settings.UNDO_SECONDS = 10
    back = workflow.roll_back(world.model(), production, by=rita, reason="Worse.")
    check(back)
    approve(back, rosa)
    with pytest.raises(Conflict, match=r"^Rosa Lind approved meanwhile: yours would be the last approval"):
        workflow.review(back, by=remy, verdict="approve", effect="counts")


def test_who_did_not_look_at_a_page_is_not_asked(asked: PromotionRequest, remy: User, rosa: User) -> None:
    approve(asked, remy, rosa)
    assert asked.status == Status.APPROVED


def test_the_page_says_what_the_button_does_and_the_click_holds_it_to_that(
    asked: PromotionRequest, remy: User, rosa: User, client: Client
) -> None:
    before = page(client, remy, asked)
    assert "Once all approvals are given" in before
    assert "Approve (1 of 2)" in before
    assert '<input type="hidden" name="effect" value="counts">' in before
    approve(asked, rosa)
    posted = {"verdict": "approve", "comment": "Looks right.", "fingerprint": asked.fingerprint, "effect": "counts"}
    answer = client.post(reverse("approvals:request_review", args=[asked.pk]), posted)
    shown = answer.content.decode()
    assert answer.status_code == 409
    assert "Rosa Lind approved meanwhile" in shown
    assert "Looks right." in shown
    assert f"Approve and deliver v{asked.version.number} now" in shown
    assert '<input type="hidden" name="effect" value="delivers">' in shown
    assert (
        client.post(reverse("approvals:request_review", args=[asked.pk]), posted | {"effect": "delivers"}).status_code
        == 302
    )
    asked.refresh_from_db()
    assert asked.status == Status.APPROVED


def test_a_pending_page_follows_and_keeps_the_form(
    asked: PromotionRequest, remy: User, rosa: User, client: Client
) -> None:
    address = reverse("approvals:request_live", args=[asked.pk])
    before = page(client, remy, asked)
    seen = re.search(r'id="seen" name="seen" value="([^"]+)"', before)
    assert seen
    assert 'hx-trigger="every 5s"' in before
    assert client.get(address, {"seen": seen[1]}).status_code == 204
    approve(asked, rosa)
    answer = client.get(address, {"seen": seen[1]})
    told = answer.content.decode()
    assert answer.status_code == 200
    assert f"Approve and deliver v{asked.version.number} now" in told
    assert 'id="decision-effect" class="decision-effect" hx-swap-oob="true"' in told
    assert "1 of 2" in told
    assert "<textarea" not in told
    workflow.review(asked, by=remy, verdict="reject", comment="No.")
    ended = client.get(address, {"seen": seen[1]})
    assert ended.status_code == 286
    assert "Rejected: no decision is open any more." in ended.content.decode()
    assert "<textarea" not in ended.content.decode()


def test_a_page_follows_changes_of_others_until_the_request_is_closed(
    asked: PromotionRequest, remy: User, rosa: User, client: Client
) -> None:
    """Comments, requested changes, and submitting again; what somebody types here is not swapped."""
    address = reverse("approvals:request_live", args=[asked.pk])
    seen = mark_of(page(client, remy, asked))
    workflow.comment(asked, by=rosa, body="Which data was it trained on?")
    told = client.get(address, {"seen": seen})
    assert "Which data was it trained on?" in told.content.decode()
    assert "<textarea" not in told.content.decode()
    workflow.review(asked, by=rosa, verdict="request_changes", comment="Say it.")
    told = client.get(address, {"seen": mark_of(told.content.decode())})
    assert told.status_code == 200
    assert "Changes requested: no decision is open any more." in told.content.decode()
    seen = mark_of(told.content.decode())
    assert client.get(address, {"seen": seen}).status_code == 204
    workflow.resubmit(asked, by=asked.requester, justification="On last year's.")
    assert client.get(address, {"seen": seen}).status_code == 200
    workflow.withdraw(asked, by=asked.requester)
    assert client.get(address, {"seen": seen}).status_code == 286


def test_a_page_without_the_form_of_the_decision_gets_no_part_of_it_until_there_is_one(
    asked: PromotionRequest, remy: User, rosa: User, client: Client, settings: Any
) -> None:
    """HTMX complains about a part whose place is not on the page; who undid an approval elsewhere can decide here."""
    address = reverse("approvals:request_live", args=[asked.pk])
    seen = mark_of(page(client, asked.requester, asked))
    approve(asked, rosa)
    told = client.get(address, {"seen": seen}).content.decode()
    assert "1 of 2" in told
    assert "decision-effect" not in told
    assert 'id="request-aside"' not in told
    settings.UNDO_SECONDS = 10
    given = approve(asked, remy)
    seen = mark_of(page(client, remy, asked))
    workflow.undo_review(asked, by=remy, review=given.reviews.latest("pk").pk)
    told = client.get(address, {"seen": seen}).content.decode()
    assert 'id="request-aside" hx-swap-oob="true"' in told
    assert 'name="fingerprint"' in told


def test_the_requester_can_submit_again_where_the_page_stands(
    asked: PromotionRequest, remy: User, client: Client
) -> None:
    address = reverse("approvals:request_live", args=[asked.pk])
    seen = mark_of(page(client, asked.requester, asked))
    workflow.review(asked, by=remy, verdict="request_changes", comment="Say it.")
    assert "Submit again for" in client.get(address, {"seen": seen}).content.decode()


def test_no_verdict_is_given_over_evidence_that_the_page_does_not_show(
    asked: PromotionRequest, remy: User, client: Client
) -> None:
    address = reverse("approvals:request_live", args=[asked.pk])
    seen = mark_of(page(client, remy, asked))
    ModelVersion.objects.filter(pk=asked.version_id).update(metrics={"auc_roc": 0.5})
    workflow.reopen(asked)
    asked.refresh_from_db()
    assert asked.status == Status.PENDING
    told = client.get(address, {"seen": seen}).content.decode()
    assert "The evidence changed while you were reading." in told
    assert "Show the evidence as it is now" in told
    assert 'value="approve"' not in told
    # However often it is swapped; and a form that comes with it signs nothing.
    again = client.get(address, {"seen": mark_of(told).replace("pending", "checking")}).content.decode()
    assert "Show the evidence as it is now" in again
    assert asked.fingerprint not in again.partition('id="decision"')[2].partition("</form>")[0]
    posted = {"verdict": "reject", "comment": "No.", "fingerprint": "not shown"}
    assert client.post(reverse("approvals:request_review", args=[asked.pk]), posted).status_code == 409
    assert 'value="approve"' in page(client, remy, asked)


def mark_of(shown: str) -> str:
    found = re.search(r'id="seen" name="seen" value="([^"]+)"', shown)
    assert found
    return found[1]


# --- What is gone -----------------------------------------------------------------------------------------------------


def test_what_was_renamed_cannot_be_approved_and_the_new_name_is_offered(
    rita: User, remy: User, production: Target, client: Client
) -> None:
    registry = world.make_registry()
    request = world.ask(registry, 2, production, by=rita)
    registry.rename_model(world.MODEL, "churn_eu")
    sync.sweep(registry)
    told = "Version 2 of churn_predictor no longer exists in MLflow: the model is now called churn_eu."
    with pytest.raises(workflow.NotAllowed, match=re.escape(told)):
        workflow.review(request, by=remy, verdict="approve")
    shown = page(client, remy, request)
    assert told in shown
    assert "/models/churn_eu/versions/2/promote/" in shown
    assert ">Approve" not in shown
    workflow.review(request, by=remy, verdict="reject", comment="Under the new name, please.")


def test_what_was_deleted_cannot_be_approved(asked: PromotionRequest, remy: User, client: Client) -> None:
    ModelVersion.objects.filter(pk=asked.version_id).update(deleted_at=asked.created_at)
    with pytest.raises(workflow.NotAllowed, match=r"^Version 1 of churn_predictor no longer exists in MLflow\.$"):
        workflow.review(asked, by=remy, verdict="approve")
    assert "It can be rejected, withdrawn or ended" in page(client, remy, asked)


# --- Policies ---------------------------------------------------------------------------------------------------------


def test_saving_a_policy_lists_the_open_requests_that_it_fits(
    asked: PromotionRequest, ada: User, remy: User, rosa: User, client: Client
) -> None:
    approve(asked, rosa)
    made_under = asked.rule["policy_id"]
    administration.save_policy(Policy(target=asked.target), make_rule("churn_*", (1, None)), by=ada)
    assert workflow.under_other_policies(asked.target) == [asked.pk]
    address = reverse("approvals:policy_open_requests", args=[asked.target_id])
    client.force_login(ada)
    shown = client.get(address).content.decode()
    assert f"Request #{asked.pk}" in shown
    assert "Made under version 1 of the policy for *" in shown
    assert "version 1 of the policy for churn_* needs 1 approval from any reviewer" in shown
    assert client.post(address, {"request": [asked.pk]}).status_code == 302
    asked.refresh_from_db()
    assert (asked.status, asked.rule["model_pattern"]) == (Status.CHECKING, "churn_*")
    event = AuditEvent.objects.get(action=Action.REQUEST_RESUBMITTED)
    assert (event.actor, event.data["rule"]["policy_id"]) == (ada, asked.rule["policy_id"])
    assert asked.rule["policy_id"] != made_under
    assert workflow.under_other_policies(asked.target) == []
    assert check(asked).status == Status.PENDING


def test_requests_under_other_policies_are_read_and_submitted_a_page_at_a_time(
    ada: User, rita: User, production: Target, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "PAGE_SIZE", 2)
    make_policy("*", production, (2, None))
    first, second, third = (make_request(make_version(number=number), production, by=rita) for number in (1, 2, 3))
    administration.save_policy(Policy(target=production), make_rule("churn_*", (1, None)), by=ada)
    client.force_login(ada)
    address = reverse("approvals:policy_open_requests", args=[production.pk])
    shown = client.get(address)
    assert [request.pk for request, _, _ in shown.context["rows"]] == [first.pk, second.pk]
    assert "so do those of the other pages" in shown.content.decode()
    assert "1–2 of 3 requests" in shown.content.decode()
    again = client.post(f"{address}?page=2", {"request": [first.pk, third.pk]})
    assert again.headers["Location"] == f"{address}?page=2"
    assert workflow.under_other_policies(production) == [first.pk, second.pk]
    assert "other pages" not in client.get(address).content.decode()


def test_a_saved_policy_leads_to_the_requests_that_it_would_fit(
    asked: PromotionRequest, ada: User, client: Client
) -> None:
    policy = Policy.objects.get(pk=asked.rule["policy_id"])
    client.force_login(ada)
    client.post(reverse("approvals:policy_move", args=[policy.pk]), {"to": "up"})
    assert workflow.under_other_policies(asked.target) == []
    administration.save_policy(policy, make_rule("*", (3, None)), by=ada, seen=1)
    answer = client.post(reverse("approvals:policy_move", args=[policy.pk]), {"to": "up"})
    assert answer.headers["Location"] == reverse("approvals:policy_open_requests", args=[asked.target_id])


def test_only_who_manages_policies_submits_under_another(asked: PromotionRequest, ada: User, remy: User) -> None:
    with pytest.raises(workflow.Invalid, match="under this policy already"):
        workflow.submit_under(asked, by=ada)
    administration.save_policy(Policy(target=asked.target), make_rule("churn_*", (1, None)), by=ada)
    with pytest.raises(workflow.NotAllowed):
        workflow.submit_under(asked, by=remy)
    workflow.withdraw(asked, by=asked.requester)
    with pytest.raises(Conflict, match="withdrawn"):
        workflow.submit_under(asked, by=ada)


def test_the_request_says_which_policy_it_is_under_in_the_past(
    asked: PromotionRequest, ada: User, remy: User, client: Client
) -> None:
    administration.save_policy(Policy(target=asked.target), make_rule("churn_*", (1, None)), by=ada)
    shown = re.sub(r"(<[^>]+>|\s)+", " ", page(client, remy, asked))
    assert "Made under version 1 of the policy for" in shown
    assert "The policy for * applied to churn_predictor: the only one that matched." in shown
    assert "that fits." not in shown
    assert "If requested today, it would use version 1 of the policy for" in shown
    assert "Submit again under that policy" not in shown
    assert "Submit again under that policy" in page(client, ada, asked)
