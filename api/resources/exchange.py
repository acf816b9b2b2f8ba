"""A short token for a job of a pipeline, in exchange for its identity token: no secret lies in the pipeline."""

from datetime import datetime
from typing import Literal

from django.http import HttpRequest
from ninja import Router
from pydantic import Field

from accounts import id_tokens, security_log
from accounts.security_log import Event, address_of
from api import limits
from api.schemas import Sent, Shape
from approvals import administration

router = Router(tags=["You"])


class ExchangeIn(Sent):
    id_token: str = Field(max_length=id_tokens.LONGEST_TOKEN)
    """Of the job, with the address of Countersign as its audience."""


class ExchangeOut(Shape):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 -- what kind of token it is
    expires_at: datetime
    scopes: list[str]


@router.post("/token-exchange", auth=None, response=ExchangeOut, summary="Exchange an identity token")
def exchange_token(request: HttpRequest, body: ExchangeIn) -> ExchangeOut:
    """An API token for 15 minutes in exchange for the identity token of a job of GitHub Actions or GitLab, which fits a
    trusted publisher of a service account by repository, ref and environment. Each identity token is taken once."""
    try:
        token, text = administration.exchange(body.id_token)
    except (administration.NotProven, administration.NotNow) as error:
        # As with tokens: many jobs share one address, and whose identity is proven is not slowed by others there.
        limits.check_address(address_of(request))
        security_log.record(Event.TOKEN_REFUSED, request, reason=error.code)
        raise
    security_log.record(
        Event.TOKEN_MADE, request, person=token.account_id, token=token.pk, publisher=token.publisher_id
    )
    return ExchangeOut(access_token=text, expires_at=token.expires_at, scopes=token.scopes)
