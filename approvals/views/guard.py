"""Refuses a page with the reason that `administration.may` gives, before anything is loaded."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from django.core.exceptions import PermissionDenied
from django.http import HttpResponseBase

from approvals import administration
from approvals.views.shared import SignedInRequest
from approvals.workflow import NotAllowed

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)


View: TypeAlias = Callable[Concatenate[Any, P], R]


def needs(permission: str) -> Callable[[View[P, R]], View[P, R]]:
    """`@needs(administration.PEOPLE)` above a view."""

    def decorate(view: View[P, R]) -> View[P, R]:
        @wraps(view)
        def guarded(request: SignedInRequest, /, *args: P.args, **kwargs: P.kwargs) -> R:
            answer = administration.may(request.user, permission)
            if not answer:
                raise PermissionDenied(answer.reason)
            try:
                return view(request, *args, **kwargs)
            except NotAllowed as error:  # it was taken from them while the verb waited for its locks
                raise PermissionDenied(error.message) from error

        return guarded

    return decorate
