"""Databricks' API put together."""

from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI

from api import acting, problems
from api.auth import identify
from api.databricks import comments, errors, models, requests, webhooks
from api.encoding import JsonParser, JsonRenderer, as_json

DOOR = "Databricks API"

api = NinjaAPI(
    title="Databricks",
    urls_namespace="api:databricks",
    openapi_url=None,  # it is Databricks' description that holds
    docs_url=None,
    parser=JsonParser(),
    renderer=JsonRenderer(),
)
api.add_decorator(partial(acting.through_token, door=DOOR), mode="operation")
problems.install(api, errors.tell)
for resource in (requests, comments, models, webhooks):
    api.add_router("", resource.router)


def configuration(request: HttpRequest) -> HttpResponse:
    """What each client asks for when it is made, before it has a token: that there is nothing to be configured. Nothing
    is counted: a client that is told to wait here waits for five minutes."""
    return _json({})


def me(request: HttpRequest) -> HttpResponse:
    """`w.current_user.me()`, in SCIM's words."""
    user = identify(request).user
    said: dict[str, Any] = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": str(user.pk),
        "userName": user.email,
        "displayName": user.name,
        "active": user.is_active,
        "emails": [{"type": "work", "value": user.email, "primary": True}],
        "groups": [{"display": name} for name in user.group_names],
    }
    return _json(said)


def _json(said: dict[str, Any]) -> HttpResponse:
    return HttpResponse(as_json(said), content_type="application/json; charset=utf-8")
