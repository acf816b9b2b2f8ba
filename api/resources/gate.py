"""What MLflow's own gate is told."""

from typing import Any

from django.http import HttpResponse
from mlflow_gate import grants
from ninja import Router

from api.auth import ApiRequest, Token
from api.problems import NotFound
from approvals.models import PolicyFeed

router = Router(tags=["Gate"], auth=Token("gate"))


@router.get("/gate/policy", response=dict[str, Any], summary="The policy that MLflow's gate enforces")
def get_gate_policy(request: ApiRequest) -> HttpResponse:
    """The very bytes that the worker signed; the signature is in a header. That it is read here is no sign that MLflow
    has it. 404 `no_policy` while there is none."""
    feed = PolicyFeed.objects.current()
    if problem := feed.why_none:
        raise NotFound("no_policy", problem)
    headers = {"ETag": feed.tag, grants.SIGNATURE_HEADER: feed.signature}
    return HttpResponse(feed.text.encode(), content_type="application/json", headers=headers)
