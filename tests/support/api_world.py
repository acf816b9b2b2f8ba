"""Something of each kind that the API tells of, for tests that go through all operations."""

import re
from dataclasses import dataclass
from typing import Any

from accounts import roles
from accounts.models import User
from api.v1 import api
from approvals import workflow
from approvals.models import PolicyFeed, PromotionRequest, Target
from approvals.policy import CheckRule
from tests.support.api import Answer, Machine
from tests.support.ci_service import CI, result_of
from tests.support.factories import (
    make_incident,
    make_person,
    make_policy,
    make_request,
    make_service_account,
    make_version,
    make_webhook,
)
from tests.support.world import hold, settle

WHO = ("nobody", *roles.PERMISSIONS, "asker", "program")
"""Somebody without a role, one of each role, the one who requested what is asked about, and a service account that may
request and reports the external check."""

OPERATIONS: dict[str, tuple[str, str]] = {
    told["operationId"]: (method.upper(), path.removeprefix("/api/v1"))
    for path, methods in api.get_openapi_schema()["paths"].items()
    for method, told in methods.items()
    if told.get("security")
}
"""Method and path by the name of each operation that needs a token."""


@dataclass(frozen=True)
class ApiWorld:
    people: dict[str, User]
    waits: PromotionRequest
    checked: PromotionRequest
    """In checks, waits for the external check `ci`."""

    returned: PromotionRequest
    """Changes were requested."""

    done: PromotionRequest
    incident: int
    webhook: int

    def named(self, name: str) -> dict[str, Any]:
        """What stands in the address of an operation, by the parameter's name."""
        about = {"report_check": self.checked, "get_certificate": self.done, "resubmit_request": self.returned}
        of = {"/incidents/": self.incident, "/webhooks/": self.webhook}
        number = next((each for part, each in of.items() if part in OPERATIONS[name][1]), None)
        return {
            "model": "churn_predictor",
            "version": "1",
            "target": "Production",
            "name": "ci",
            "number": number or about.get(name, self.waits).pk,
        }

    def send(self, machine: Machine, name: str) -> Answer:
        """The plainest request of the operation that can succeed."""
        method, path = OPERATIONS[name]
        named = self.named(name)
        path = re.sub(r"{(\w+)}", lambda each: str(named[each[1]]), path)
        asked = "?since=2026-01-01&size=1&seed=a" if path.startswith("/audit/") else ""
        return machine.send(method, path + asked, self.body(name) if method == "POST" else None)

    def body(self, name: str) -> dict[str, Any]:
        promotion = {"model": "churn_predictor", "version": "4", "target": "Production", "justification": "Better."}
        return {
            "create_request": promotion,
            "comment_on_request": {"body": "Looks good."},
            "review_request": {"verdict": "approve", "fingerprint": self.waits.fingerprint},
            "resolve_incident": {"reason": "Looked into."},
            "create_webhook": {"name": "CI", "url": "https://hooks.example.com/", "types": ["request.approved"]},
            "report_check": {"result": "pass", "fingerprint": result_of(self.checked).fingerprint},
        }.get(name, {})


def make_api_world() -> ApiWorld:
    production, staging = (Target.objects.get(name=name) for name in ("Production", "Staging"))
    people = {role: make_person(f"{role.capitalize()} Only", role) for role in roles.PERMISSIONS}
    people["nobody"] = make_person("Nobody Special")
    people["program"] = make_service_account(owner=people["administrator"], groups=("requester", "ci"))
    people["asker"] = asker = make_person("Rita Sanz", "requester")
    remy, rosa = make_person("Remy Ortiz", "reviewer"), make_person("Rosa Lind", "reviewer")
    one, two, three, _ = (make_version("churn_predictor", number) for number in (1, 2, 3, 4))
    done = settle(make_request(one, production, by=asker), remy, rosa)
    hold(one, production)
    check = CheckRule("external", "block", {**CI, "url": "https://ci.example.com/"})
    make_policy("*", staging, (1, None), checks=(check,))
    PolicyFeed.objects.update_or_create(pk=1, defaults={"text": "{}", "signature": "c2ln"})
    returned = make_request(three, production, by=asker)
    workflow.review(returned, by=remy, verdict="request_changes", comment="Describe it.")
    return ApiWorld(
        people,
        waits=make_request(two, production, by=asker),
        checked=make_request(make_version("demand", 1), staging, by=asker),
        returned=returned,
        done=done,
        incident=make_incident(target=production).pk,
        webhook=make_webhook("Chat").pk,
    )
