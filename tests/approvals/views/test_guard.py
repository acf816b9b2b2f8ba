"""Pages that need a permission."""

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.test import RequestFactory

from accounts.models import User
from approvals import administration
from approvals.views.guard import needs
from approvals.views.shared import SignedInRequest
from approvals.workflow import NotAllowed


def test_who_lost_it_while_the_verb_waited_is_refused_as_who_never_had_it(rf: RequestFactory, ada: User) -> None:
    @needs(administration.PEOPLE)
    def view(request: SignedInRequest) -> HttpResponse:
        raise NotAllowed("Your account was deactivated, so nothing was done.")

    request = rf.post("/")
    request.user = ada
    with pytest.raises(PermissionDenied, match="deactivated"):
        view(request)
