"""What a page answers when a verb was refused."""

import pytest
from django import forms

from approvals.views.shared import Attempt
from approvals.workflow import Conflict, Invalid, NeedsReauthentication, NoMeaning, NotAllowed, WorkflowError


class NameForm(forms.Form):
    name = forms.CharField()


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (NotAllowed("Not you."), 403),
        (NeedsReauthentication("Prove it."), 403),
        (Conflict("Somebody was faster."), 409),
        (Invalid("Say why."), 422),
        (NoMeaning("Say what it means."), 422),
    ],
)
def test_a_refusal_stands_at_its_field_and_has_one_status(refusal: WorkflowError, status: int) -> None:
    form = NameForm({"name": "Rita"})
    attempt = Attempt(form, "name")
    with attempt:
        raise refusal
    assert (attempt.status, attempt.refusal) == (status, refusal)
    assert form.errors["name"] == [refusal.message]


def test_what_was_typed_wrongly_is_422_and_nothing_wrong_is_200() -> None:
    assert Attempt(NameForm({"name": ""})).status == 422
    assert Attempt(NameForm({"name": "Rita"})).status == 200
    assert Attempt(NameForm()).status == 200


def test_any_other_error_goes_on() -> None:
    with pytest.raises(ZeroDivisionError), Attempt(NameForm({"name": "Rita"})):
        raise ZeroDivisionError
