"""`/api/v1/`: the resources put together. A new one is a file in `api.resources` and a line here."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from accounts.security_log import address_of
from api import acting, idempotency, limits, problems
from api.encoding import JsonParser, JsonRenderer, as_json
from api.openapi import Api
from api.resources import (
    audit,
    checks,
    events,
    evidence,
    exchange,
    gate,
    holders,
    incidents,
    me,
    models,
    requests,
    webhooks,
)
from components.version import VERSION

DESCRIPTION = """\
What the pages show and do, for programs: the same rules, the same refusals with the same sentences.

**Sign-in.** Send a token: `Authorization: Bearer csn_…`. It acts as the person or service account that it belongs to,
within its scopes.

**Names** in addresses are percent-encoded and may hold a slash: `/models/com.example%2Fweather`.

**Lists** have `items` and `next`, the cursor of the page after, which the header `Link` has as an address. `limit` is
at most 200.

**Errors** are problems (RFC 9457): `code` is a word for programs, `detail` the sentence that the page would show.

**Times** are ISO 8601 in UTC. `mirrored_at` says when MLflow last answered Countersign.
"""

api = Api(
    title="Countersign",
    version="1",
    description=DESCRIPTION,
    openapi_url=None,  # below, where what stands around operations stands around it too
    docs_url=None,
    urls_namespace="api:v1",
    parser=JsonParser(),
    renderer=JsonRenderer(),
    servers=[{"url": settings.SITE_URL}],
    openapi_extra={"info": {"x-product-version": VERSION}},
)
# Around the functions of operations, and so behind the check of the token; the last one is the outermost.
api.add_decorator(idempotency.once, mode="operation")
api.add_decorator(acting.through_token, mode="operation")
problems.install(api)


@api.get("/openapi.json", auth=None, include_in_schema=False)
def get_description(request: HttpRequest) -> HttpResponse:
    limits.check_address(address_of(request))
    return HttpResponse(as_json(api.get_openapi_schema()), content_type="application/json; charset=utf-8")


# What ends in more words comes first: a model's name may hold a slash.
for resource in (evidence, checks, requests, incidents, events, audit, gate, holders, webhooks, models, me, exchange):
    api.add_router("", resource.router)
