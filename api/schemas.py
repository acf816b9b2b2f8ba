"""The words of the JSON, the same in every answer. They are for years: what a registry, a version or a place is called
here does not change with the tables."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.conf import settings
from ninja import Field, Schema
from pydantic import AfterValidator, BeforeValidator, ConfigDict, WithJsonSchema

from accounts.models import User
from approvals.forms.moments import WRONG_TIME, MomentField
from approvals.models import PromotionRequest, Target
from components import addresses

REGISTRY = "default"


def _moment(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    try:
        return MomentField(label="").clean(value) if isinstance(value, str) else _refuse()
    except Exception as error:  # a form's error, whose words are ours
        raise ValueError(WRONG_TIME) from error


def _refuse() -> None:
    raise ValueError


MOMENT = {"type": "string", "format": "date-time", "examples": ["2026-05-01T12:00:00Z"]}
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema(MOMENT)]
"""As a client writes it: ISO 8601, a day or a time; without a zone it is UTC."""


def _here(value: str) -> str:
    if value not in ("", settings.MLFLOW_WORKSPACE):
        raise ValueError(f"Mirrored is {settings.MLFLOW_WORKSPACE or 'no workspace'}: leave it out, or say the same.")
    return value


WorkspaceIn = Annotated[
    str,
    AfterValidator(_here),
    WithJsonSchema({"type": "string", "enum": sorted({"", settings.MLFLOW_WORKSPACE}), "default": ""}),
]
"""The one that is mirrored, or nothing."""


class Shape(Schema):
    """A JSON object. What stands below a field is its description."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Sent(Shape):
    """What a client sends. A field that there is not is refused: what was misspelt would be left out unseen."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Subject(Shape):
    """What an answer is about. So far the only kind is `model`."""

    registry: str = REGISTRY
    workspace: str = Field(default_factory=lambda: settings.MLFLOW_WORKSPACE)
    """Of MLflow; empty where none is named."""

    kind: Literal["model"] = "model"
    model: str


class Place(Shape):
    """Where MLflow shows that a version holds a target."""

    type: Literal["stage", "alias", "tag"]
    name: str


class Person(Shape):
    name: str
    email: str | None
    kind: Literal["person", "service"]


class RequestLink(Shape):
    id: int
    url: str


def person(user: User) -> Person:
    is_gone = user.pseudonymised_at is not None or user.is_countersign
    return Person(
        name=user.name, email=None if is_gone else user.email, kind="service" if user.is_service_account else "person"
    )


def place(text: str) -> Place:
    """Of a tenure: `Production` is a stage, `@champion` an alias."""
    if text.startswith("@"):
        return Place(type="alias", name=text[1:])
    return Place(type="stage", name=text)


def places(target: Target) -> list[Place]:
    """What a target means in MLflow."""
    found = [Place(type="stage", name=target.stage)] if target.stage else []
    return [*found, Place(type="alias", name=target.alias)] if target.alias else found


def request_link(request: PromotionRequest | int) -> RequestLink:
    number = request if isinstance(request, int) else request.pk
    return RequestLink(id=number, url=url("approvals:request", number))


def url(name: str, *args: int | str) -> str:
    """The page, absolute."""
    return addresses.absolute(addresses.reverse(name, *args))
