"""A list of people to invite, as it is pasted: one line a person, as mail programs and spreadsheets write them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models.functions import Lower
from django.utils.text import Truncator

from accounts import roles
from accounts.models import User, plain
from approvals.forms.administration import GroupsForm, whose_address

MOST = 100
"""So many mails are sent while the page waits."""

FIELD = re.compile(r'(?:"[^"]*"|[^",;\t|]|")+')
"""What stands between commas, semicolons, tabs or bars; those between quotes part nothing."""

ANGLED = re.compile(r"([^<>]*)<([^<>]*)>")
HEADINGS = {"name", "full name", "email", "e-mail", "mail", "address", "e-mail address", "email address"}
HEADINGS |= {"role", "roles", "group", "groups"}


class InviteListForm(GroupsForm):
    people = forms.CharField(
        max_length=20_000,
        label="People",
        widget=forms.Textarea(
            attrs={"rows": 8, "spellcheck": "false", "placeholder": "Fred Blake <fred@example.com>, reviewer, fraud"}
        ),
        help_text=(
            "One person a line, as mail programs and spreadsheets write them: name and address, or the address alone; "
            f"then roles and groups, if any. At most {MOST} lines."
        ),
    )
    field_order = ["people", "roles", "groups"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["roles"].label, self.fields["groups"].label = "Roles for everyone", "Groups for everyone"
        self.fields["roles"].help_text = "Added to those that a line names."

    def clean_people(self) -> str:
        text = str(self.cleaned_data["people"])
        count = sum(1 for line in text.splitlines() if line.strip())
        if count > MOST:
            raise forms.ValidationError(f"The list has {count} lines; at most {MOST} people can be invited at once.")
        return text


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    """In what was pasted, from 1."""

    text: str
    name: str = ""
    email: str = ""
    groups: Sequence[Group] = ()
    is_named_by_address: bool = False
    refusal: str = ""

    @property
    def as_what(self) -> str:
        return roles.as_what(group.name for group in self.groups)


def read(text: str, everyone: Iterable[Group]) -> list[Line]:
    """The lines with what they ask for, or why they are refused. `everyone`: roles and groups that all of them get.
    Two queries, however many lines."""
    known = {group.name.lower(): group for group in Group.objects.all()}
    lines = [
        _read(number, raw.strip(), known, list(everyone))
        for number, raw in enumerate(text.splitlines(), 1)
        if _fields(raw)  # spreadsheets end with rows of commas
    ]
    if lines and {field.lower() for field in _fields(lines[0].text)} <= HEADINGS:
        lines = lines[1:]
    return _without_duplicates(lines)


def _read(number: int, text: str, known: dict[str, Group], everyone: list[Group]) -> Line:
    name, email, rest = _parts(_fields(text))
    line = Line(number, text, name=plain(name), email=email.lower())
    if not email:
        return replace(line, refusal="There is no e-mail address in this line.")
    try:
        validate_email(line.email)
    except ValidationError:
        return replace(line, refusal=f"“{_short(email)}” is not a valid e-mail address.")
    if len(line.email) > 254:
        return replace(line, refusal="The e-mail address is longer than 254 characters.")
    if not line.name:
        line = replace(line, name=_name_in(line.email), is_named_by_address=True)
    if len(line.name) > 120:
        return replace(line, refusal="The name is longer than 120 characters.")
    unknown = [field for field in rest if field.lower() not in known]
    if unknown:
        return replace(line, refusal=f"There is no role or group “{_short(unknown[0])}”.")
    groups = {group.pk: group for group in (*everyone, *(known[field.lower()] for field in rest))}
    return replace(line, groups=list(groups.values()))


def _without_duplicates(lines: list[Line]) -> list[Line]:
    addresses = [line.email for line in lines if not line.refusal]
    there = {
        person.email.lower(): person
        for person in User.objects.annotate(lowered=Lower("email")).filter(lowered__in=addresses)
    }
    first: dict[str, int] = {}
    told = []
    for line in lines:
        refusal = line.refusal
        if not refusal and line.email in there:
            refusal = whose_address(there[line.email])
        elif not refusal and line.email in first:
            refusal = f"Line {first[line.email]} has the same address."
        elif not refusal:
            first[line.email] = line.number
        told.append(replace(line, refusal=refusal))
    return told


def _fields(text: str) -> list[str]:
    found = (field.replace('"', "").strip() for field in FIELD.findall(text))
    return [field for field in found if field]


def _parts(fields: list[str]) -> tuple[str, str, list[str]]:
    """Name, address and what comes after them; the name is in the field of the address, in the one before it, or as
    `Blake, Fred` in both."""
    place = next((index for index, field in enumerate(fields[:2]) if "@" in field), None)
    if place is None:
        return "", "", fields
    before, found, rest = fields[:place], fields[place], fields[place + 1 :]
    angled = ANGLED.fullmatch(found)
    name, email = (angled[1].strip(), angled[2].strip()) if angled else ("", found)
    name = ", ".join(filter(None, [*before, name]))
    family, comma, given = name.partition(",")
    return (f"{given} {family}" if comma and "," not in given else name), email, rest


def _short(text: str) -> str:
    return Truncator(text).chars(60)


def _name_in(email: str) -> str:
    """`Fred Blake` of fred.blake+work@example.com, to begin with."""
    local = email.partition("@")[0].partition("+")[0]
    return " ".join(part.capitalize() for part in re.split(r"[._-]+", local) if part) or local or email
