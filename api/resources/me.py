"""Whose token it is, and what it can do."""

from datetime import datetime

from ninja import Router

from api.auth import AnyToken, ApiRequest
from api.schemas import Person, Shape, person

router = Router(tags=["You"])


class TokenOut(Shape):
    name: str
    prefix: str
    scopes: list[str]
    expires_at: datetime


class Me(Shape):
    user: Person
    owner: Person | None
    roles: list[str]
    """Roles and groups."""
    token: TokenOut


@router.get("/me", auth=AnyToken(), response=Me, summary="Whose token this is")
def get_me(request: ApiRequest) -> Me:
    """The person or service account that the token acts as, their roles and groups, and the token. Needs no scope."""
    user, token = request.auth.user, request.auth.token
    owner = user.owner if user.is_service_account else None
    return Me(
        user=person(user),
        owner=person(owner) if owner else None,
        roles=list(user.group_names),
        token=TokenOut(
            name=token.name, prefix=token.prefix, scopes=sorted(request.auth.scopes), expires_at=token.expires_at
        ),
    )
