"""Several rooms. When too much is missing from MLflow at once: the notice on every page, and the word of an
administrator."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals import ledger
from approvals.models import Action, AuditEvent
from mirror import health
from mirror.models import MirrorState
from mirror.sweep import Doubtful
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db
CONFIRM = "/standstill/deletions/"
MISSING = {"models": 50, "of_models": 50, "versions": 0, "of_versions": 250}


@pytest.fixture
def stopped() -> None:
    MirrorState.objects.record(pulled_at=timezone.now(), swept_at=timezone.now(), missing=MISSING)
    health.sweep_failed(Doubtful("MLflow does not list 50 of 50 models."))


@pytest.mark.usefixtures("stopped")
def test_everybody_is_told_and_only_an_administrator_is_offered_the_form(client: Client, vera: User, ada: User) -> None:
    client.force_login(vera)
    assert "MLflow no longer lists 50 of 50 models" in text_of(client.get("/models/").content.decode())
    html = client.get("/system/").content.decode()
    assert "Stopped" in text_of(html)
    assert CONFIRM not in html
    assert client.post(CONFIRM, {"reason": "Purged."}).status_code == 403
    client.force_login(ada)
    assert CONFIRM in client.get("/system/").content.decode()


@pytest.mark.usefixtures("stopped")
def test_confirming_is_recorded_with_its_reason_and_done_once(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert "Enter" in text_of(client.post(CONFIRM, {"reason": " "}, follow=True).content.decode())
    assert MirrorState.objects.current().is_stopped
    answer = client.post(CONFIRM, {"reason": "The old registry was purged."}, follow=True)
    assert "The next sweep asks MLflow for each by name" in text_of(answer.content.decode())
    assert "no longer lists" not in text_of(answer.content.decode())
    told = AuditEvent.objects.get(action=Action.DELETIONS_CONFIRMED)
    assert (told.actor, told.data) == (ada, {**MISSING, "reason": "The old registry was purged."})
    assert ledger.verify().is_intact
    again = text_of(client.post(CONFIRM, {"reason": "Again."}, follow=True).content.decode())
    assert "Nothing to confirm" in again
    assert "confirmed that 50 models" in text_of(client.get("/history/").content.decode())
