"""What a client says, read as leniently as Databricks does: in the query, in a JSON body or in both, on every method,
with numbers and truth values as texts, and with fields that mean nothing here."""

from typing import Annotated, Any, TypeVar

from django.http import HttpRequest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from api.encoding import JsonParser
from api.problems import Problem

LONGEST_TEXT = 4000

Name = Annotated[str, Field(min_length=1, max_length=256)]
Number = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,8}$")]
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT, strip_whitespace=True)]


class Said(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)


class OfVersion(Said):
    name: Name
    version: Number


S = TypeVar("S", bound=Said)


def said(request: HttpRequest, shape: type[S]) -> S:
    """The query with the body over it, as `shape`. Raises Problem 400 for a body that is no JSON object, 422 for what
    is missing or cannot be meant."""
    found: dict[str, Any] = {
        name: values if len(values) > 1 else values[0] for name, values in request.GET.lists() if values
    }
    if request.body:
        found |= _body(request)
    try:
        return shape.model_validate({name: value for name, value in found.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Problem(422, "invalid", f"{where}: {first['msg'].removeprefix('Value error, ')}.") from error


def _body(request: HttpRequest) -> dict[str, Any]:
    try:
        body = JsonParser().parse_body(request)
    except ValueError as error:
        raise Problem(400, "malformed_json", "The body is not JSON.") from error
    if not isinstance(body, dict):
        raise Problem(400, "malformed_json", "The body is not a JSON object.")
    return body
