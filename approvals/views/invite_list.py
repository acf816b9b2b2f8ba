"""Inviting many people from a list: what each line would do first, then one invitation after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from smtplib import SMTPRecipientsRefused

from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from accounts import invitation
from accounts.models import User
from approvals import administration
from approvals.forms import invite_list
from approvals.notifications.mailing import said
from approvals.views.guard import needs
from approvals.views.shared import Attempt, SignedInRequest
from approvals.workflow import Invalid


@dataclass(frozen=True, slots=True)
class Invited:
    """What came of one line; its `refusal` says why no one was invited."""

    line: invite_list.Line
    person: User | None = None
    link: str = ""
    """Where mail goes to the terminal."""

    failure: str = ""
    """Why the mail was not sent."""


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.PEOPLE)
def invite_many(request: SignedInRequest) -> HttpResponse:
    form = invite_list.InviteListForm(request.POST or None)
    attempt = Attempt(form, "people")
    lines: list[invite_list.Line] = []
    if request.method == "POST" and form.is_valid():
        lines = invite_list.read(form.cleaned_data["people"], form.all_groups())
        if not lines:
            form.add_error("people", "There is no one in this list.")
        elif "confirm" in request.POST:
            done = _send(_invite(lines, by=request.user), by=request.user)
            context = {
                "done": done,
                "count": sum(1 for each in done if each.person),
                "unsent": sum(1 for each in done if each.failure),
                "is_printed": invitation.is_printed(),
            }
            return render(request, "approvals/people/invited_list.html", context)
    accepted = sum(1 for line in lines if not line.refusal)
    context = {
        "form": form,
        # What was previewed, for the button of the preview; without the ids, which the form below it has.
        "previewed": invite_list.InviteListForm(request.POST, auto_id=False),
        "lines": lines,
        "accepted": accepted,
        "refused": len(lines) - accepted,
    }
    return render(request, "approvals/people/invite_list.html", context, status=attempt.status)


def _invite(lines: Sequence[invite_list.Line], *, by: User) -> list[Invited]:
    """Each is the verb of a single invitation, with its own event: what is refused of one keeps no other back."""
    done = []
    for line in lines:
        person = None
        if not line.refusal:
            try:
                person = administration.invite(email=line.email, name=line.name, groups=line.groups, by=by)
            except Invalid as error:  # invited by another administrator meanwhile
                line = replace(line, refusal=error.message)  # noqa: PLW2901
        done.append(Invited(line, person))
    return done


def _send(done: Sequence[Invited], *, by: User) -> list[Invited]:
    """All over one connection. A server that fails is not asked again, so that the page waits for it once."""
    connection: BaseEmailBackend = get_connection()
    told, failure = [], ""
    for each in done:
        if each.person is not None and failure:
            each = replace(each, failure=failure)  # noqa: PLW2901
        elif each.person is not None:
            try:
                link = invitation.send(each.person, invited_by=by, connection=connection)
                each = replace(each, link=link if invitation.is_printed() else "")  # noqa: PLW2901
            except OSError as error:
                reason = said(error)
                each = replace(each, failure=reason)  # noqa: PLW2901
                failure = "" if isinstance(error, SMTPRecipientsRefused) else reason
        told.append(each)
    connection.close()
    return told
