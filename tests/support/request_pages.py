"""What the tests of a request's page share: a request to look at, its page, and what a person sends from it."""

import re

from django.http import HttpResponse
from django.test import Client

from accounts.models import User
from approvals.models import PromotionRequest, Target
from tests.support.factories import make_request, make_version
from tests.support.pages import text_of
from tests.support.world import hold

MODEL = "churn_predictor"
BUTTONS = {
    "approve": "Approve",
    "changes": "Request changes",
    "reject": "Reject",
    "comment": "Comment",
    "withdraw": "Withdraw request",
    "resubmit": "Submit again for Production",
    "retry": "Retry the delivery",
}


def make_asked(rita: User, production: Target) -> PromotionRequest:
    """Version 1 holds Production; version 2 is asked for."""
    hold(
        make_version(
            MODEL, metrics={"auc_roc": 0.9, "log_loss": 0.3}, params={"max_depth": "8", "seed": "1"}, description="Old."
        ),
        production,
    )
    two = make_version(
        MODEL,
        metrics={"auc_roc": 0.95, "log_loss": 0.4},
        params={"max_depth": "9", "seed": "1"},
        description="New **one**.",
    )
    return make_request(two, production, by=rita, justification="Better on segment B.")


def read(page: str) -> str:
    """What a person reads: without the spaces that a tag leaves before a comma or full stop."""
    return re.sub(r" (?=[.,;:])", "", text_of(page))


def see(client: Client, person: User, request: PromotionRequest, query: str = "") -> str:
    client.force_login(person)
    answer = client.get(f"{request.get_absolute_url()}{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def send(client: Client, person: User, request: PromotionRequest, what: str, **fields: str) -> HttpResponse:
    client.force_login(person)
    return client.post(f"{request.get_absolute_url()}{what}/", fields)  # type: ignore[return-value]


def decide(client: Client, person: User, request: PromotionRequest, verdict: str, comment: str = "") -> HttpResponse:
    return send(client, person, request, "review", verdict=verdict, comment=comment, fingerprint=request.fingerprint)


def buttons(html: str) -> set[str]:
    shown = [read(each) for each in re.findall(r"<button\b[^>]*>.*?</button>", html, re.DOTALL)]
    return {key for key, words in BUTTONS.items() if any(each.startswith(words) for each in shown)}
