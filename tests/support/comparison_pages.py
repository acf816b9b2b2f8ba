"""What the tests of the comparison share: a request that differs in everything, its page and its sections."""

from typing import Any

from django.test import Client

from accounts.models import User
from approvals.models import PromotionRequest, Target
from tests.support.factories import (
    PACKAGING,
    make_exhibit,
    make_inspection,
    make_request,
    make_version,
    png,
)
from tests.support.pages import text_of
from tests.support.world import hold

MODEL = "churn_predictor"
OLD_FILES = {
    "digest": "a" * 64,
    "bytes": 15,
    "count": 2,
    "manifest": [["MLmodel", 5, "1" * 64], ["w.skops", 10, "2" * 64]],
}
NEW_FILES = {
    "digest": "b" * 64,
    "bytes": 2_500_017,
    "count": 3,
    "manifest": [["MLmodel", 5, "1" * 64], ["extra.bin", 2_500_000, "4" * 64], ["w.skops", 12, "3" * 64]],
}


def column(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "required": True, **more}


def make_asked(rita: User, production: Target) -> PromotionRequest:
    """Version 1 holds Production; version 2 is asked for, and differs in everything."""
    one = make_version(
        MODEL,
        metrics={"auc_roc": 0.9, "log_loss": 0.3},
        params={"max_depth": "8", "seed": "1", "prompt": "Be brief.\nName the source.\nNever guess."},
        tags={"owner": "risk"},
        description="A forest.\n\nTrained monthly.",
        run={"tags": {"mlflow.note.content": "First try."}, "datasets": [{"name": "churn", "digest": "old1"}]},
    )
    hold(one, production)
    signature = {"inputs": [column("age", "long")], "outputs": [column("chance", "double")], "params": None}
    make_inspection(
        one,
        files=OLD_FILES,
        packaging=PACKAGING | {"signature": signature},
        curves={"loss": [[0, "1.0"], [1, "0.5"], [2, "0.4"]]},
    )
    make_exhibit(one, "figures/roc.png", png(10))
    make_exhibit(one, "errors.csv", b"segment,errors\nA,3\n")
    two = make_version(
        MODEL,
        metrics={"auc_roc": 0.95, "log_loss": 0.4},
        params={"max_depth": "9", "seed": "1", "prompt": "Be brief.\nName every source.\nNever guess."},
        tags={"owner": "growth"},
        description="A larger forest.\n\nTrained monthly.",
        run={"tags": {"mlflow.note.content": "Second try."}, "datasets": [{"name": "churn", "digest": "new1"}]},
    )
    signature = {
        "inputs": [column("age", "double"), column("plan", "string", required=False)],
        "outputs": [column("chance", "double")],
    }
    make_inspection(
        two,
        files=NEW_FILES,
        packaging=PACKAGING | {"signature": signature, "requirements": ["scikit-learn==1.8.0", "numpy"]},
        curves={"loss": [[0, "0.9"], [1, "nan"], [2, "0.3"]]},
    )
    make_exhibit(two, "figures/roc.png", png(200))
    make_exhibit(two, "errors.csv", b"segment,errors\nA,2\nB,<script>alert(3)</script>\n")
    return make_request(two, production, by=rita, justification="Better on segment B.")


def see(client: Client, person: User, address: str) -> str:
    client.force_login(person)
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def page_of(client: Client, person: User, request: PromotionRequest, query: str = "") -> str:
    return see(client, person, f"{request.get_absolute_url()}compare/{query}")


def compare(client: Client, person: User, query: str = "") -> str:
    return see(client, person, f"/models/{MODEL}/compare/{query}")


def section(html: str, key: str) -> str:
    """What a person reads in one section."""
    start = html.index(f'<section class="card" id="{key}"')
    return text_of(html[start : html.index("</section>", start)])
