"""Who may see what and do what: every address × every role, with the reason where it is refused."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts import roles
from accounts.models import User
from approvals import administration, workflow
from approvals.context_processors import place_of
from approvals.models import (
    AuditEvent,
    CheckResult,
    Finding,
    FreezeWindow,
    Incident,
    Nomination,
    Policy,
    Probation,
    PromotionRequest,
    Status,
    Target,
    Tenure,
    Webhook,
)
from approvals.tenures import importing
from approvals.views import exhibits
from components import page_addresses
from mirror.models import ModelVersion
from tests.support.factories import (
    make_exhibit,
    make_freeze,
    make_incident,
    make_person,
    make_policy,
    make_request,
    make_version,
    make_webhook,
)
from tests.support.world import hold, settle

pytestmark = pytest.mark.django_db

ALL_ROLES = ("requester", "reviewer", "responder", "auditor", "administrator")
OUTSIDE = ("anonymous", "deactivated")
INSIDE = ("nobody", *ALL_ROLES)
EVERYBODY = frozenset(ALL_ROLES)
EVEN_NOBODY = frozenset(INSIDE)
ADMINISTRATORS = frozenset({"administrator"})
EXPORTERS = frozenset({"auditor", "administrator"})
MAY_GO_BACK = frozenset({"requester", "reviewer", "responder"})
RESPONDERS = frozenset({"responder"})


NAMES = {
    "deactivated": "Rosa Lind",
    "nobody": "Nina New",
    "requester": "Rita Sanz",
    "reviewer": "Remy Ortiz",
    "responder": "Otto Reyes",
    "auditor": "Vera Holm",
    "administrator": "Ada Brandt",
}


@pytest.fixture(scope="module")
def everybody_and_a_request(kept: None) -> None:
    for role, name in NAMES.items():
        given = ALL_ROLES if role == "deactivated" else {role} & set(ALL_ROLES)
        make_person(name, *given, is_active=role != "deactivated")
    asker, target = User.objects.get(name=NAMES["requester"]), Target.objects.get(name="Staging")
    make_request(make_version("churn_predictor"), target, by=asker)
    make_version("churn_predictor")
    make_freeze()
    make_webhook()
    make_incident()


@pytest.fixture
def people(db: None, everybody_and_a_request: None) -> dict[str, User | None]:
    by_name = {person.name: person for person in User.objects.all()}
    return {"anonymous": None} | {role: by_name[name] for role, name in NAMES.items()}


@pytest.fixture
def asked(people: dict[str, User | None]) -> PromotionRequest:
    """Pending, made by the requester, for version 1 of churn_predictor; there is a version 2 without one."""
    return PromotionRequest.objects.select_related("version__model", "target", "requester").get()


@pytest.fixture
def vera(people: dict[str, User | None]) -> User | None:
    return people["auditor"]


@pytest.fixture
def ada(people: dict[str, User | None]) -> User | None:
    return people["administrator"]


def client_of(person: User | None) -> Client:
    client = Client()
    if person is not None:
        client.force_login(person)
    return client


# --- Pages

# Address by name, and the roles that may see it. `{…}` are filled with what the fixture made.
PAGES: dict[str, tuple[str, frozenset[str]]] = {
    "approvals:inbox": ("/", EVERYBODY),
    "approvals:review_queue": ("/queue/", EVERYBODY),
    "approvals:review_together": ("/queue/together/", EVERYBODY),
    "approvals:review_queue_request": ("/queue/{request}/", EVERYBODY),
    "overview": ("/overview/", EVERYBODY),
    "overview_csv": ("/overview/overview.csv", EVERYBODY),
    "overview_json": ("/overview/overview.json", EVERYBODY),
    "models": ("/models/", EVERYBODY),
    "model": ("/models/churn_predictor/", EVERYBODY),
    "version": ("/models/churn_predictor/versions/1/", EVERYBODY),
    "search": ("/search/?q=churn", EVERYBODY),
    "jump": ("/search/jump/?q=churn", EVERYBODY),
    "system": ("/system/", EVERYBODY),
    "preferences": ("/preferences/", EVEN_NOBODY),
    "api:docs": ("/api/docs/", EVERYBODY),
    "approvals:request_new": ("/models/churn_predictor/versions/2/promote/", EVERYBODY),
    "approvals:roll_back": ("/models/churn_predictor/roll-back/{target}/", MAY_GO_BACK),
    "approvals:break_glass": ("/models/churn_predictor/versions/2/break-glass/{target}/", RESPONDERS),
    "approvals:request": ("/requests/{request}/", EVERYBODY),
    "approvals:request_compare": ("/requests/{request}/compare/", EVERYBODY),
    "approvals:exhibit": ("/exhibits/{exhibit}", EVERYBODY),
    "model_compare": ("/models/churn_predictor/compare/?a=1&b=2", EVERYBODY),
    "approvals:policies": ("/policies/", EVERYBODY),
    "approvals:policies_export": ("/policies/policies.yaml", EVERYBODY),
    "approvals:policy_versions": ("/policies/{policy}/versions/", EVERYBODY),
    "approvals:model_metrics": ("/models/churn_predictor/metrics-of-record/", ADMINISTRATORS),
    "approvals:freezes": ("/freezes/", EVERYBODY),
    "approvals:freeze_new": ("/freezes/new/", ADMINISTRATORS),
    "approvals:freeze": ("/freezes/{freeze}/", ADMINISTRATORS),
    "approvals:freeze_retire": ("/freezes/{freeze}/retire/", ADMINISTRATORS),
    "approvals:webhooks": ("/webhooks/", ADMINISTRATORS),
    "approvals:webhook_new": ("/webhooks/new/", ADMINISTRATORS),
    "approvals:webhook": ("/webhooks/{webhook}/", ADMINISTRATORS),
    "approvals:webhook_edit": ("/webhooks/{webhook}/edit/", ADMINISTRATORS),
    "approvals:webhook_rotate": ("/webhooks/{webhook}/rotate/", ADMINISTRATORS),
    "approvals:webhook_retire": ("/webhooks/{webhook}/delete/", ADMINISTRATORS),
    "approvals:findings": ("/findings/", EVERYBODY),
    "approvals:incidents": ("/incidents/", EVERYBODY),
    "approvals:incident": ("/incidents/{incident}/", EVERYBODY),
    "approvals:counts": ("/notifications/counts/", EVERYBODY),
    "approvals:notifications": ("/notifications/", EVERYBODY),
    "approvals:notification_choices": ("/preferences/notifications/", EVEN_NOBODY),
    "approvals:history": ("/history/", frozenset(ALL_ROLES)),
    "approvals:event": ("/history/1/", frozenset(ALL_ROLES)),
    "approvals:history_at": ("/history/at/", frozenset(ALL_ROLES)),
    "approvals:history_at_json": ("/history/at.json", frozenset(ALL_ROLES)),
    "approvals:history_import": ("/history/import/", ADMINISTRATORS),
    "approvals:history_export": ("/history/export.csv", frozenset({"auditor", "administrator"})),
    "approvals:history_export_lines": ("/history/export.jsonl", frozenset({"auditor", "administrator"})),
    "approvals:ledger": ("/history/ledger/", frozenset(ALL_ROLES)),
    "approvals:checkpoints": ("/history/checkpoints.txt", frozenset(ALL_ROLES)),
    "approvals:verifier": ("/history/verifier.py", frozenset(ALL_ROLES)),
    "approvals:audit": ("/history/audit/", frozenset(ALL_ROLES)),
    "approvals:audit_access": ("/history/audit/access/", frozenset(ALL_ROLES)),
    "approvals:audit_reviews": ("/history/audit/reviews/", frozenset(ALL_ROLES)),
    "approvals:audit_population_csv": ("/history/audit/export/population.csv", EXPORTERS),
    "approvals:audit_population_jsonl": ("/history/audit/export/population.jsonl", EXPORTERS),
    "approvals:audit_archive": ("/history/audit/export/archive.zip", EXPORTERS),
    "approvals:audit_access_csv": ("/history/audit/export/access.csv", EXPORTERS),
    "approvals:audit_reviews_csv": ("/history/audit/export/reviews.csv", EXPORTERS),
    "approvals:policy_new": ("/policies/new/", ADMINISTRATORS),
    "approvals:policy": ("/policies/{policy}/", ADMINISTRATORS),
    "approvals:policy_retire": ("/policies/{policy}/retire/", ADMINISTRATORS),
    "approvals:policy_open_requests": ("/policies/open-requests/{target}/", ADMINISTRATORS),
    "approvals:target_new": ("/targets/new/", ADMINISTRATORS),
    "approvals:target": ("/targets/{target}/", ADMINISTRATORS),
    "approvals:target_retire": ("/targets/{target}/retire/", ADMINISTRATORS),
    "approvals:tokens": ("/preferences/tokens/", EVEN_NOBODY),
    "approvals:token_new": ("/preferences/tokens/new/", EVEN_NOBODY),
    "approvals:people": ("/people/", ADMINISTRATORS),
    "approvals:person_tokens": ("/people/tokens/", ADMINISTRATORS),
    "approvals:person_service_account_new": ("/people/service-accounts/new/", ADMINISTRATORS),
    "approvals:person_invite": ("/people/invite/", ADMINISTRATORS),
    "approvals:person_invite_list": ("/people/invite/list/", ADMINISTRATORS),
    "approvals:person": ("/people/{person}/", ADMINISTRATORS),
    "approvals:person_active": ("/people/{person}/active/", ADMINISTRATORS),
    "approvals:person_pseudonymise": ("/people/{person}/pseudonymise/", ADMINISTRATORS),
}
ANSWERS_OTHERWISE = {
    "approvals:policy_new_preview",  # these two: tests/approvals/views/test_policies.py
    "approvals:policy_preview",
    "healthz",
    "metrics",  # tests/registry_ui/metrics/test_endpoint.py
    "readyz",
    "welcome",
    "home",  # tests/registry_ui/views/test_overview.py
    "first_day",  # tests/registry_ui/views/test_first_day.py
    "saved_views",  # tests/registry_ui/views/test_saved_views.py
    "approvals:invitation",  # tests/approvals/views/test_invitation.py
    "approvals:request_live",
    "approvals:request_opened",  # tests/approvals/views/test_review_queue.py
    "approvals:request_undo",  # tests/approvals/views/test_given.py
    "approvals:request_end",  # these two: tests/approvals/workflow/test_no_wait_without_an_end.py
    "approvals:request_end_half",
    "approvals:request_certificate",
    "approvals:check_callback",
    "approvals:ledger_state",
    "approvals:ledger_verify",
    "approvals:ledger_checkpoint",
    "approvals:deletions_confirm",
    "approvals:registry_accept",
    "approvals:cut_acknowledge",
    "approvals:health_callback",
    "approvals:notification",  # these two: tests/approvals/views/test_notifications.py
    "approvals:notifications_read",
    "approvals:request_follow",  # tests/approvals/notifications/test_subscribing.py
    "approvals:mlflow_callback",
    "approvals:gate_policy",  # these: tests/approvals/views/test_gate.py, tests/approvals/enforcement
    "approvals:gate_openings",
    "approvals:gate_refusals",
    "approvals:account_token_new",  # these: tests/approvals/views/test_tokens.py
    "approvals:publisher_new",
    "approvals:publisher_retire",
    "approvals:token_revoke",
    "approvals:ask",  # tests/approvals/views/test_asking.py
    "approvals:webhook_test",  # these two: tests/approvals/views/test_webhooks.py
    "approvals:webhook_again",
}
"""Told in tests of their own."""

REFUSED_PAGES = {
    "metrics-of-record": administration.REASONS[administration.POLICIES],
    "history": administration.REASONS[administration.HISTORY],
    "export": administration.REASONS[administration.EXPORT],
    "import": administration.REASONS[administration.IMPORT],
    "policies": administration.REASONS[administration.POLICIES],
    "freezes": administration.REASONS[administration.POLICIES],
    "targets": administration.REASONS[administration.POLICIES],
    "webhooks": administration.REASONS[administration.WEBHOOKS],
    "people": administration.REASONS[administration.PEOPLE],
    "roll-back": "Requesters can request a rollback; reviewers and responders can roll back.",
    "break-glass": "An emergency promotion requires the responder role.",
}


def places(asked: PromotionRequest) -> dict[str, Any]:
    """What stands for the `{…}` of an address."""
    policy = Policy.objects.get(target__name="Staging", model_pattern="*")
    person = User.objects.get(email="rita@example.com")
    exhibit = make_exhibit(asked.version)
    return {
        "request": asked.pk,
        "policy": policy.pk,
        "target": asked.target_id,
        "person": person.pk,
        "freeze": FreezeWindow.objects.get().pk,
        "webhook": Webhook.objects.get().pk,
        "exhibit": f"{exhibit.pk}/{exhibits.filename_of(exhibit)}",
        "incident": Incident.objects.get().pk,
    }


def reason_for(address: str) -> str:
    parts = address.split("/")
    return next(
        REFUSED_PAGES[part.partition(".")[0]] for part in reversed(parts) if part.partition(".")[0] in REFUSED_PAGES
    )


def why_not(role: str, address: str) -> str:
    return roles.NEEDED if role == "nobody" else reason_for(address)


SHOWN = "shown"
LOGIN = "to the login"


def outcome(answer: Any) -> str:
    """What came of it: shown, sent to the login, or the reason of a refusal."""
    if answer.status_code == 302 and answer["Location"].startswith("/accounts/login/"):
        return LOGIN
    if answer.status_code == 403:
        page = answer.content.decode()
        reasons = (roles.NEEDED, *REFUSED_PAGES.values())
        return next((reason for reason in reasons if reason in page), "refused without a reason")
    return SHOWN if answer.status_code == 200 else f"answered {answer.status_code}"


@pytest.mark.parametrize("role", [*OUTSIDE, *INSIDE])
def test_pages_are_shown_to_those_who_may_see_them_and_refused_with_the_reason(
    people: dict[str, User | None], asked: PromotionRequest, role: str
) -> None:
    client = client_of(people[role])
    expected = {
        name: LOGIN if role in OUTSIDE else SHOWN if role in allowed else why_not(role, address)
        for name, (address, allowed) in PAGES.items()
    }
    there = places(asked)
    assert {name: outcome(client.get(address.format(**there))) for name, (address, _) in PAGES.items()} == expected


WITHOUT_A_PLACE = {
    "system",
    "preferences",
    "api:docs",
    "approvals:notification_choices",
    "approvals:tokens",
    "approvals:token_new",
    "jump",
    "approvals:counts",
}
NO_PAGES = {"overview_csv", "overview_json", "approvals:exhibit", "approvals:checkpoints", "approvals:verifier"}


def test_every_page_has_its_place_in_the_navigation() -> None:
    assert {name for name in PAGES if not place_of(name)} == WITHOUT_A_PLACE | NO_PAGES
    assert place_of("overview") == {"overview": "page"}
    assert place_of("approvals:request_new") == {"models": "true"}


@pytest.mark.parametrize("role", INSIDE)
def test_the_live_part_of_a_request_is_for_everybody_with_a_role(
    people: dict[str, User | None], asked: PromotionRequest, role: str
) -> None:
    answer = client_of(people[role]).get(f"/requests/{asked.pk}/live/")
    # Somebody may decide any moment: HTMX goes on asking.
    assert answer.status_code == (403 if role == "nobody" else 200)


@pytest.mark.parametrize("name", sorted({"approvals:history", "approvals:people", "approvals:policy_new"}))
def test_a_page_that_is_refused_does_not_show_its_address_in_the_frame(
    people: dict[str, User | None], asked: PromotionRequest, name: str
) -> None:
    """Somebody without a role is not led into refusals."""
    address, _ = PAGES[name]
    page = client_of(people["requester" if name != "approvals:history" else "nobody"]).get("/models/").content.decode()
    assert f'href="{address}"' not in page


# --- Verbs


def is_pending(asked: PromotionRequest) -> None:
    pass


def is_under_another_policy(asked: PromotionRequest) -> None:
    make_policy("churn_predictor", asked.target, (1, None))


def has_changes_requested(asked: PromotionRequest) -> None:
    other = make_person("Olga Lind", "reviewer")
    workflow.review(asked, by=other, verdict="request_changes", comment="Please look at the cutoff.")


def has_a_finding(asked: PromotionRequest) -> None:
    other = make_person("Olga Lind", "reviewer")
    finding = workflow.FindingInput("Write the runbook.", asked.requester, timezone.now().date())
    workflow.review(asked, by=other, verdict="approve", findings=[finding])


def has_a_nomination(asked: PromotionRequest) -> None:
    workflow.nominate(asked, by=asked.requester, person=make_person("Olga Lind", "reviewer"))


def has_failed(asked: PromotionRequest) -> None:
    other = make_person("Olga Lind", "reviewer")
    workflow.review(asked, by=other, verdict="approve")
    PromotionRequest.objects.filter(pk=asked.pk).move(Status.FAILED)
    entry = asked.outbox_entries.get()
    type(entry).objects.filter(pk=entry.pk).update(closed_at=entry.created_at, outcome="failed")


def on_probation(asked: PromotionRequest) -> None:
    settle(asked, make_person("Olga Lind", "reviewer"))
    now = timezone.now()
    Probation.objects.create(request=asked, started_at=now, ends_at=now + timedelta(hours=1), token="t" * 43)


def has_an_earlier_holder(asked: PromotionRequest) -> None:
    """Version 2 holds Staging, which version 1 held with an approval before."""
    settle(asked, make_person("Olga Lind", "reviewer"))
    Target.objects.filter(pk=asked.target_id).update(archives_existing=True)
    now = timezone.now()
    Tenure.objects.create(
        model_name="churn_predictor",
        version_number=1,
        target=asked.target,
        place="Staging",
        origin="delivery",
        started_at=now,
        ended_at=now,
        end="replaced",
        request=asked,
    )
    hold(ModelVersion.objects.select_related("model").get(number=2), asked.target)


def is_break_glass(asked: PromotionRequest) -> None:
    settle(asked, make_person("Olga Lind", "reviewer"))
    PromotionRequest.objects.filter(pk=asked.pk).update(kind="break_glass", afterwards_due_at=timezone.now())


def has_two_policies(asked: PromotionRequest) -> None:
    make_policy("zebra_*", Target.objects.get(name="Staging"), (1, None))


def has_a_paused_webhook(asked: PromotionRequest) -> None:
    administration.pause_webhook(Webhook.objects.get(), by=None)


def is_blocked(asked: PromotionRequest) -> None:
    PromotionRequest.objects.filter(pk=asked.pk).move(Status.CHECKING, sources=[Status.PENDING])
    CheckResult.objects.filter(request=asked).update(outcome="fail", reason="The files could not be read.")


EARLIER = b"model,version,target,from,until\nchurn_predictor,1,Staging,2025-01-01,2025-02-01\n"


def has_sent_a_file(asked: PromotionRequest) -> None:
    """The administrator has looked at its rows."""
    client_of(User.objects.get(email="ada@example.com")).post(
        "/history/import/", {"file": SimpleUploadedFile("old.csv", EARLIER)}
    )


POLICY_FORM = {
    "target": "{target}",
    "model_pattern": "fraud_*",
    "open_for_days": "14",
    "slots-TOTAL_FORMS": "1",
    "slots-INITIAL_FORMS": "0",
    "slots-0-approvals": "1",
    "slots-0-group": "",
}
WEBHOOK_FORM = {
    "name": "Chat",
    "url": "https://hooks.example.com/abc",
    "types": "request.created",
    "model_pattern": "*",
}
ONLY_WEBHOOKS = administration.REASONS[administration.WEBHOOKS]
FREEZE_FORM = {
    "name": "Christmas",
    "model_pattern": "*",
    "time_zone": "UTC",
    "kind": "once",
    "starts_at": "2026-12-20T18:00",
    "ends_at": "2027-01-04T08:00",
}
ONLY_ADMINISTRATORS = administration.REASONS[administration.POLICIES]

Before = Callable[[PromotionRequest], None]

# Address, what is sent, who may, why others may not, and what comes before.
VERBS: dict[str, tuple[str, dict[str, str], frozenset[str], str, Before]] = {
    "approvals:request_new": (
        "/models/churn_predictor/versions/2/promote/",
        {"target": "Staging", "justification": "Better on the holdout."},
        frozenset({"requester"}),
        "You need the requester role to request a promotion.",
        is_pending,
    ),
    "approvals:request_review": (
        "/requests/{request}/review/",
        {"verdict": "approve", "fingerprint": "{fingerprint}"},
        frozenset({"reviewer"}),
        "Only reviewers can decide on requests.",
        is_pending,
    ),
    "approvals:request_override": (
        "/requests/{request}/checks/{check}/override/",
        {"reason": "The files are known to be right."},
        frozenset({"administrator"}),
        "Overriding a failed check requires a separate permission; administrators have it.",
        is_blocked,
    ),
    "approvals:request_comment": (
        "/requests/{request}/comment/",
        {"body": "Which cutoff was it?"},
        frozenset({"requester", "reviewer", "responder"}),
        "Only requesters and reviewers can comment.",
        is_pending,
    ),
    "approvals:request_nominate": (
        "/requests/{request}/nominate/",
        {"who": "person:{colleague}"},
        frozenset({"requester", "reviewer", "administrator"}),
        "The requester, reviewers and administrators can ask a person by name to review.",
        is_pending,
    ),
    "approvals:request_nomination_take_back": (
        "/requests/{request}/nominate/{nomination}/take-back/",
        {},
        frozenset({"requester", "reviewer", "administrator"}),
        "The requester, reviewers and administrators can ask a person by name to review.",
        has_a_nomination,
    ),
    "approvals:request_withdraw": (
        "/requests/{request}/withdraw/",
        {"reason": "A better one comes."},
        frozenset({"requester"}),
        "Only the requester can withdraw the request.",
        is_pending,
    ),
    "approvals:request_resubmit": (
        "/requests/{request}/resubmit/",
        {"justification": "The cutoff is right."},
        frozenset({"requester"}),
        "Only the requester can submit the request again.",
        has_changes_requested,
    ),
    "approvals:request_retry": (
        "/requests/{request}/retry/",
        {},
        frozenset({"reviewer", "administrator"}),
        "Reviewers and administrators can retry a delivery that failed or waits.",
        has_failed,
    ),
    "approvals:request_submit_under": (
        "/requests/{request}/submit-under/",
        {},
        ADMINISTRATORS,
        "Only administrators can submit requests again under another policy.",
        is_under_another_policy,
    ),
    "approvals:roll_back": (
        "/models/churn_predictor/roll-back/{target}/",
        {"to": "1", "leaving": "2", "reason": "Version 2 is broken."},
        MAY_GO_BACK,
        "Requesters can request a rollback; reviewers and responders can roll back.",
        has_an_earlier_holder,
    ),
    "approvals:request_afterwards": (
        "/requests/{request}/afterwards/",
        {"verdict": "justified", "comment": "It was on fire."},
        frozenset({"reviewer"}),
        "Only reviewers can review an emergency promotion.",
        is_break_glass,
    ),
    "approvals:request_confirm": (
        "/requests/{request}/confirm/",
        {"comment": "A day without complaints."},
        frozenset({"reviewer"}),
        "Only reviewers can confirm a promotion on probation.",
        on_probation,
    ),
    "approvals:finding_close": (
        "/findings/{finding}/close/",
        {"note": "The runbook is written."},
        frozenset({"reviewer"}),
        "Only reviewers can close findings.",
        has_a_finding,
    ),
    "approvals:history_import_confirm": (
        "/history/import/confirm/",
        {"confirmed": importing.digest(EARLIER)},
        ADMINISTRATORS,
        administration.REASONS[administration.IMPORT],
        has_sent_a_file,
    ),
    "approvals:incident_resolve": (
        "/incidents/{incident}/resolve/",
        {"reason": "Agreed on the phone."},
        frozenset({"reviewer", "administrator"}),
        "Only reviewers and administrators can resolve incidents.",
        is_pending,
    ),
    "approvals:policy_new": ("/policies/new/", POLICY_FORM, ADMINISTRATORS, ONLY_ADMINISTRATORS, is_pending),
    "approvals:policy": ("/policies/{policy}/", POLICY_FORM, ADMINISTRATORS, ONLY_ADMINISTRATORS, is_pending),
    "approvals:model_metrics": (
        "/models/churn_predictor/metrics-of-record/",
        {"seen": "0", "metrics-TOTAL_FORMS": "1", "metrics-INITIAL_FORMS": "0", "metrics-0-name": "auc"},
        ADMINISTRATORS,
        ONLY_ADMINISTRATORS,
        is_pending,
    ),
    "approvals:freeze_new": ("/freezes/new/", FREEZE_FORM, ADMINISTRATORS, ONLY_ADMINISTRATORS, is_pending),
    "approvals:freeze": ("/freezes/{freeze}/", FREEZE_FORM, ADMINISTRATORS, ONLY_ADMINISTRATORS, is_pending),
    "approvals:freeze_retire": ("/freezes/{freeze}/retire/", {}, ADMINISTRATORS, ONLY_ADMINISTRATORS, is_pending),
    "approvals:webhook_new": ("/webhooks/new/", WEBHOOK_FORM, ADMINISTRATORS, ONLY_WEBHOOKS, is_pending),
    "approvals:webhook_edit": ("/webhooks/{webhook}/edit/", WEBHOOK_FORM, ADMINISTRATORS, ONLY_WEBHOOKS, is_pending),
    "approvals:webhook_rotate": (
        "/webhooks/{webhook}/rotate/",
        {"previous": "keep"},
        ADMINISTRATORS,
        ONLY_WEBHOOKS,
        is_pending,
    ),
    "approvals:webhook_retire": ("/webhooks/{webhook}/delete/", {}, ADMINISTRATORS, ONLY_WEBHOOKS, is_pending),
    "approvals:webhook_pause": ("/webhooks/{webhook}/pause/", {}, ADMINISTRATORS, ONLY_WEBHOOKS, is_pending),
    "approvals:webhook_resume": (
        "/webhooks/{webhook}/resume/",
        {},
        ADMINISTRATORS,
        ONLY_WEBHOOKS,
        has_a_paused_webhook,
    ),
    "approvals:webhook_replay": (
        "/webhooks/{webhook}/replay/",
        {"sequence": "1"},
        ADMINISTRATORS,
        ONLY_WEBHOOKS,
        is_pending,
    ),
    "approvals:policy_move": (
        "/policies/{movable}/move/",
        {"to": "up"},
        ADMINISTRATORS,
        ONLY_ADMINISTRATORS,
        has_two_policies,
    ),
    "approvals:policy_retire": ("/policies/{policy}/retire/", {}, ADMINISTRATORS, ONLY_ADMINISTRATORS, is_pending),
    "approvals:target_new": (
        "/targets/new/",
        {"name": "UAT", "alias": "uat", "position": "15"},
        ADMINISTRATORS,
        ONLY_ADMINISTRATORS,
        is_pending,
    ),
    "approvals:target": (
        "/targets/{other_target}/",
        {"name": "Live", "stage": "Production", "position": "20"},
        ADMINISTRATORS,
        ONLY_ADMINISTRATORS,
        is_pending,
    ),
    "approvals:target_retire": (
        "/targets/{other_target}/retire/",
        {},
        ADMINISTRATORS,
        ONLY_ADMINISTRATORS,
        is_pending,
    ),
    "approvals:person_invite": (
        "/people/invite/",
        {"name": "Ines Vidal", "email": "ines@example.com"},
        ADMINISTRATORS,
        administration.REASONS[administration.PEOPLE],
        is_pending,
    ),
    "approvals:person_service_account_new": (
        "/people/service-accounts/new/",
        {"name": "train-bot", "owner": "{person}"},
        ADMINISTRATORS,
        administration.REASONS[administration.PEOPLE],
        is_pending,
    ),
    "approvals:person_invite_list": (
        "/people/invite/list/",
        {"people": "Ines Vidal <ines@example.com>, reviewer", "confirm": "true"},
        ADMINISTRATORS,
        administration.REASONS[administration.PEOPLE],
        is_pending,
    ),
    "approvals:group_new": (
        "/people/groups/",
        {"name": "risk"},
        ADMINISTRATORS,
        administration.REASONS[administration.PEOPLE],
        is_pending,
    ),
    "approvals:person": (
        "/people/{person}/",
        {"roles": "{auditor}"},
        ADMINISTRATORS,
        administration.REASONS[administration.PEOPLE],
        is_pending,
    ),
    "approvals:person_active": (
        "/people/{person}/active/",
        {"is_active": "false"},
        ADMINISTRATORS,
        administration.REASONS[administration.PEOPLE],
        is_pending,
    ),
    "approvals:person_pseudonymise": (
        "/people/{idle}/pseudonymise/",
        {"reason": "They asked for it.", "email": "rosa@example.com"},
        ADMINISTRATORS,
        administration.REASONS[administration.PEOPLE],
        is_pending,
    ),
}


def prepared(name: str, asked: PromotionRequest) -> tuple[str, dict[str, str]]:
    address, sent, _, _, before = VERBS[name]
    before(asked)
    asked.refresh_from_db()
    values = {
        "request": asked.pk,
        "check": asked.checks.live().get().pk,
        "fingerprint": asked.fingerprint,
        "target": asked.target_id,
        "other_target": Target.objects.get(name="Production").pk,
        "policy": Policy.objects.get(target__name="Staging", model_pattern="*").pk,
        "freeze": FreezeWindow.objects.get().pk,
        "webhook": Webhook.objects.get().pk,
        "incident": Incident.objects.get().pk,
        "nomination": Nomination.objects.values_list("pk", flat=True).first(),
        "finding": Finding.objects.values_list("pk", flat=True).first(),
        "movable": Policy.objects.filter(target__name="Staging", retired_at=None).order_by("-position")[0].pk,
        "person": User.objects.get(email="rita@example.com").pk,
        "colleague": User.objects.get(email="remy@example.com").pk,
        "idle": User.objects.get(email="rosa@example.com").pk,
        "auditor": Group.objects.get(name="auditor").pk,
    }
    return address.format(**values), {key: value.format(**values) for key, value in sent.items()}


def told(answer: Any) -> str:
    """The page, or what the next page will say."""
    messages = " ".join(str(message) for message in get_messages(answer.wsgi_request))
    return f"{answer.content.decode()} {messages}"


@pytest.mark.parametrize("role", [*OUTSIDE, *INSIDE])
@pytest.mark.parametrize("name", VERBS)
def test_a_verb_does_its_work_for_those_who_may_and_gives_others_the_reason(
    people: dict[str, User | None], asked: PromotionRequest, name: str, role: str
) -> None:
    address, sent = prepared(name, asked)
    _, _, allowed, reason, _ = VERBS[name]
    before = AuditEvent.objects.count()
    answer = client_of(people[role]).post(address, sent)
    written = AuditEvent.objects.count() - before
    if role in OUTSIDE:
        assert answer["Location"].startswith("/accounts/login/?next=/")
        assert written == 0
    elif role in allowed:
        assert answer.status_code in {200, 302}, told(answer)
        assert written >= 1, told(answer)
    else:
        if role == "nobody":
            reason = roles.NEEDED
        if name == "approvals:finding_close" and role == "requester":
            reason = "You own this finding, so another person must close it."
        if name == "approvals:request_afterwards" and role == "requester":
            reason = "You promoted it, so another person must review it."
        if name == "approvals:request_confirm" and role == "requester":
            reason = "You requested this promotion, so another person must confirm it."
        if name == "approvals:request_review" and role == "requester":
            reason = "You requested this promotion, so another person must review it."
        assert reason in told(answer)
        assert written == 0


@pytest.mark.parametrize("name", VERBS)
def test_no_verb_works_without_the_token_of_the_form(asked: PromotionRequest, name: str) -> None:
    address, sent = prepared(name, asked)
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_person("Ines Vidal", *ALL_ROLES))
    before = AuditEvent.objects.count()
    assert client.post(address, sent).status_code == 403
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("name", sorted(set(VERBS) - set(PAGES)))
def test_a_verb_without_a_page_of_its_own_is_not_a_page(
    people: dict[str, User | None], asked: PromotionRequest, name: str
) -> None:
    address, _ = prepared(name, asked)
    assert client_of(people["administrator"]).get(address).status_code == 405


# --- Auditors change nothing

THEIR_OWN = {
    "usersessions_usersession",
    "django_session",  # signing in and out, proofs of identity
    "account_emailaddress",
    "account_emailconfirmation",
    "mfa_authenticator",
    "countersign_cache",  # counters against guessing
    "approvals_notificationchoice",
    "approvals_notification",  # which are read
    "approvals_subscription",
    "accounts_user",  # theme and shortcuts, the password, the last sign-in; looked at apart
}
"""Tables in which an auditor may change rows, all of them about the auditor alone."""

OWN_FIELDS = {"password", "last_login", "uses_shortcuts", "saved_views", "hides_first_day"}


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but THEIR_OWN, as the database has it."""
    with connection.cursor() as cursor:
        found = {}
        for table in sorted(set(connection.introspection.table_names(cursor)) - THEIR_OWN):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            found[table] = sorted(cursor.fetchall(), key=repr)
        return found


def people_but_for_their_own(auditor: User) -> list[dict[str, Any]]:
    rows = list(User.objects.order_by("pk").values())
    return [
        {key: value for key, value in row.items() if row["id"] != auditor.pk or key not in OWN_FIELDS} for row in rows
    ]


@pytest.mark.parametrize("name", VERBS)
def test_an_auditor_who_sends_what_a_verb_takes_changes_no_row(
    people: dict[str, User | None], asked: PromotionRequest, vera: User, name: str
) -> None:
    address, sent = prepared(name, asked)
    client = client_of(vera)
    before, people_before = everything(), people_but_for_their_own(vera)
    client.post(address, sent)
    assert people_but_for_their_own(vera) == people_before
    assert changed_tables(before) == set()


ANYTHING = {
    "verdict": "approve",
    "reason": "Because.",
    "comment": "Because.",
    "name": "Somebody",
    "email": "somebody@example.com",
    "to": "up",
    "is_active": "false",
    "target": "1",
    "model_pattern": "*",
}


def test_an_auditor_who_posts_to_every_address_changes_no_row(
    people: dict[str, User | None], asked: PromotionRequest, vera: User
) -> None:
    """Those of signing in and of preferences too; they change what is the auditor's own."""
    has_two_policies(asked)
    has_a_finding(asked)
    numbers = {"number": 1, "sequence": 1, "check": asked.checks.live().get().pk, "pk": asked.pk}
    numbers["nomination"] = numbers["attempt"] = 1
    client = client_of(vera)
    before, people_before = everything(), people_but_for_their_own(vera)
    answers = {}
    for pattern, _ in ALL:
        address = "/" + pattern.replace("^", "").replace("<model:name>", asked.version.model.name)
        for key, value in numbers.items():
            address = address.replace(f"<int:{key}>", str(value))
        address = re.sub(r"\(\?P<\w+>[^)]*\)|<[^>]+>|\$", "x", address)
        answers[address] = client.post(address, ANYTHING).status_code
        client.force_login(vera)  # some addresses sign out
    assert people_but_for_their_own(vera) == people_before
    # Having the ledger verified is reading, though the result is kept.
    assert changed_tables(before) == {"approvals_verification"}
    assert len(answers) > 90
    # MLflow's webhook is not set up here, and says so.
    assert {address: status for address, status in answers.items() if status >= 500} == {"/callbacks/mlflow/": 501}


def changed_tables(before: dict[str, list[tuple[Any, ...]]]) -> set[str]:
    after = everything()
    return {table for table, rows in before.items() if after[table] != rows}


def test_a_change_of_any_table_would_be_seen(asked: PromotionRequest, vera: User, ada: User) -> None:
    before = everything()
    assert len(before) > 30
    client_of(ada).post("/people/groups/", {"name": "risk"})
    assert changed_tables(before) == {
        "auth_group",
        "approvals_auditevent",
        "approvals_chainhead",
        "approvals_identity",
    }


# --- All of them


def addresses(
    patterns: list[URLPattern | URLResolver], prefix: str = "", namespace: str = ""
) -> Iterator[tuple[str, str]]:
    """Every pattern with its name; unnamed ones have an empty name."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from addresses(pattern.url_patterns, prefix + str(pattern.pattern), inner)
        else:
            yield prefix + str(pattern.pattern), f"{namespace}{pattern.name or ''}"


FOR_PROGRAMS = re.compile(r"api/(?!docs/)|databricks/")
"""Where a token is asked for, not a session: tests/api/test_permissions.py and tests/api/databricks."""

ALL = [each for each in addresses(get_resolver().url_patterns) if not FOR_PROGRAMS.match(each[0])]

PUBLIC = {
    "accounts/login/",
    "accounts/logout/",
    "accounts/inactive/",
    "accounts/signup/",
    "accounts/confirm-email/",
    r"accounts/^confirm-email/(?P<key>[-:\w]+)/$",
    "accounts/login/code/confirm/",
    "accounts/password/reset/",
    "accounts/password/reset/done/",
    "accounts/password/reset/key/done/",
    r"accounts/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
    "accounts/2fa/authenticate/",
    "accounts/2fa/webauthn/login/",
    "accounts/3rdparty/login/cancelled/",
    "accounts/3rdparty/signup/",
    "accounts/oidc/<slug:provider_id>/login/",
    "accounts/oidc/<slug:provider_id>/login/callback/",
    "accounts/oidc/^(?P<provider_id>[^/]+)/login/",
    "accounts/oidc/^(?P<provider_id>[^/]+)/login/callback/",
    "callbacks/checks/<str:token>/",
    "callbacks/health/<str:token>/",
    "callbacks/mlflow/",
    "gate/openings",
    "gate/policy",
    "gate/refusals",
    "healthz",
    "metrics",
    r"^invitation/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/$",
    "readyz",
}
"""What answers without a login: health, the steps of signing in, and answers that are signed instead."""

SAMPLES = {
    "<model:name>": "churn_predictor",
    "<int:number>": "1",
    "<int:pk>": "1",
    "<int:sequence>": "1",
    "<str:filename>": "roc.png",
    "<int:check>": "1",
    "<int:nomination>": "1",
    "<int:attempt>": "1",
    "<slug:page>": "overview",
}


def test_every_address_of_ours_is_in_the_tables() -> None:
    ours = {name for pattern, name in ALL if not pattern.startswith("accounts/")}
    assert ours == set(PAGES) | set(VERBS) | ANSWERS_OTHERWISE


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("pattern", sorted({pattern for pattern, _ in ALL} - PUBLIC))
def test_every_address_that_is_not_for_signing_in_is_behind_the_login(
    client: Client, pattern: str, method: str
) -> None:
    address = "/" + pattern
    for converter, sample in SAMPLES.items():
        address = address.replace(converter, sample)
    assert "<" not in address
    assert "^" not in address
    answer = getattr(client, method)(address)
    assert answer.status_code == 302
    page = page_addresses.nearest(address) if method == "post" else address  # what is sent leads back to a page
    # Who names no page in particular comes to what is home for them.
    assert answer["Location"] == (
        "/accounts/login/" if (address, method) == ("/", "get") else f"/accounts/login/?next={page}"
    )


def test_the_list_of_what_needs_no_login_is_not_longer_than_it_must_be() -> None:
    assert {pattern for pattern, _ in ALL} >= PUBLIC
