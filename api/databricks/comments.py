"""Comments: on Databricks of a version, here of its request."""

from typing import Any, NoReturn

from django.db.models import BigIntegerField
from ninja import Router
from pydantic import Field

from api.auth import ApiRequest, Token
from api.databricks import finding, shapes
from api.databricks.reading import OfVersion, Said, Text, said
from api.problems import NotFound, Problem
from approvals import workflow
from approvals.models import Comment, PromotionRequest
from mirror.models import ModelVersion

router = Router()


class NewComment(OfVersion):
    comment: Text


class OfComment(Said):
    id: str = Field(pattern=r"^[0-9]{1,18}$")


class ChangedComment(OfComment):
    comment: Text


@router.post("/comments/create", auth=Token("requests:write"))
def create_comment(request: ApiRequest) -> dict[str, Any]:
    asked = said(request, NewComment)
    about = _request_of(finding.version(asked.name, asked.version))
    return {"comment": shapes.comment(workflow.comment(about, by=request.auth.user, body=asked.comment))}


@router.patch("/comments/update", auth=Token("requests:write"))
def update_comment(request: ApiRequest) -> NoReturn:
    _kept(said(request, ChangedComment), "changed", " Add another one.")


@router.delete("/comments/delete", auth=Token("requests:write"))
def delete_comment(request: ApiRequest) -> NoReturn:
    _kept(said(request, OfComment), "deleted")


def _request_of(version: ModelVersion) -> PromotionRequest:
    """The newest that is open, or else the newest. Raises Problem 422."""
    asked = PromotionRequest.objects.filter(version=version).order_by("-pk")
    found = asked.filter(pk__in=PromotionRequest.objects.open()).first() or asked.first()
    if found is None:
        detail = (
            f"A comment belongs to a transition request, and no one has made one for version {version.number} of "
            f"{version.model.name} yet."
        )
        raise Problem(422, "no_request", detail)
    return found


def _kept(asked: OfComment, done: str, way: str = "") -> NoReturn:
    """Raises NotFound, or Problem 403: what was said is in the ledger and stays."""
    number = int(asked.id)
    found = Comment.objects.filter(pk=number).first() if number <= BigIntegerField.MAX_BIGINT else None
    if found is None:
        raise NotFound("no_such_comment", f"There is no comment {asked.id}.")
    raise Problem(403, "on_the_record", f"A comment is on the record, so it cannot be {done}.{way}")
