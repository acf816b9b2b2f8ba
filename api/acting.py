"""What a program does is recorded with the token through which it does it: around every operation, for
reading an audit is recorded too."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest

from accounts import tokens
from api.problems import Problem
from approvals import workflow


def through_token(view: Callable[..., Any], door: str = "") -> Callable[..., Any]:
    """Around the function of an operation, within the check of its token; `door` names which API it belongs to, if it
    is not the product's own. Raises Problem 400 for what comes as a link
    to the run of a pipeline and is none."""

    @wraps(view)
    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        identity = getattr(request, "auth", None)
        if not isinstance(identity, tokens.Identity):
            return view(request, *args, **kwargs)
        try:
            link = tokens.run_link(request.headers.get(tokens.RUN_HEADER, ""))
        except ValueError as error:
            raise Problem(400, "bad_run_link", str(error)) from error
        with workflow.acting(identity, address=request.address, run=link, door=door):  # type: ignore[attr-defined]
            return view(request, *args, **kwargs)

    return run
