"""The overview: what holds each target of each model. Home for everybody without work waiting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from approvals import policy
from approvals.audit.population import csv_lines
from approvals.models import Target
from approvals.selectors import inbox, new_versions, reviewers
from approvals.views.lists import Nothing
from approvals.views.shared import SignedInRequest
from components import charts, saved_views
from components.pagination import page_of_counted
from registry_ui import first_day
from registry_ui.selectors.overview import coming, export, figures, requests, rows
from registry_ui.selectors.overview.question import BY_TAG, PREFIX, SORTS, STATES, Question, models

PAGE_SIZE = 25
COLUMNS = 4
"""Targets that stand beside each other; the others are one click away."""

LONGEST = 256


@require_safe
def home(request: SignedInRequest) -> HttpResponse:
    """After sign-in: the inbox while work waits there, else the overview."""
    return redirect("approvals:inbox" if inbox.waiting_count(request.user) else "overview")


@require_safe
def overview(request: SignedInRequest) -> HttpResponse:
    if not request.GET and (query := saved_views.default_of(request.user, "overview")):
        return redirect(f"{request.path}?{query}")
    targets = list(Target.objects.current())
    question = asked(request, targets)
    counted = figures.of(question)
    page = page_of_counted(models(question), PAGE_SIZE, request.GET.get("page"))
    found = list(page.object_list)
    may_request = policy.may_request(reviewers.actor_of(request.user))
    known = requests.of(question, found)
    todo = first_day.steps(request.user) if first_day.concerns(request.user) else ()
    context = {
        "question": question,
        "first_day": () if all(step.is_done for step in todo) else todo,
        "target": question.targets[0] if len(question.targets) == 1 < len(targets) else None,
        "targets": targets,
        "more_targets": [each for each in targets if each not in question.targets],
        "figures": counted,
        "tiles": _tiles(counted, question),
        "page": page,
        "new_versions": new_versions.newest(last=targets[-1]) if may_request and targets else [],
        "nothing": None if found else _nothing(question),
        "is_empty": not found and not question.is_narrowed and len(question.targets) > 1,
        "groups": _groups(rows.rows(question, found, known), question.group),
        "coming": coming.of(known, question.now),
        "recent": coming.recent(known),
        "states": STATES,
        "sorts": SORTS,
        "group_choices": _group_choices(found, question),
        "tag_choices": sorted({f"{key}={value}" for model in found for key, value in model.tags.items()})[:50],
    }
    return render(request, "registry_ui/overview/overview.html", context)


@require_safe
def overview_csv(request: SignedInRequest) -> HttpResponseBase:
    """What the page shows, on all of its pages."""
    question = asked(request, list(Target.objects.current()))
    lines = csv_lines(export.COLUMNS, export.every(question))
    headers = {"Content-Disposition": f'attachment; filename="countersign-overview-{question.now:%Y-%m-%d}.csv"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


@require_safe
def overview_json(request: SignedInRequest) -> HttpResponse:
    question = asked(request, list(Target.objects.current()))
    answer = {"asked_at": question.now.isoformat(), "rows": list(export.every(question))}
    headers = {"Content-Disposition": f'attachment; filename="countersign-overview-{question.now:%Y-%m-%d}.json"'}
    return JsonResponse(answer, headers=headers)


def _nothing(question: Question) -> Nothing:
    if question.is_narrowed:
        text = "No model with this name, tag and state holds a target or has an open request."
        url = f"{reverse('overview')}?{saved_views.EVERYTHING}"
        return Nothing("search", "No models match.", text, "Clear the filters", url)
    text = "A model appears here once one of its versions holds a target, or a promotion is requested."
    return Nothing("table", "No model holds a target yet.", text, "Choose a model", reverse("models"))


def asked(request: SignedInRequest, targets: Sequence[Target]) -> Question:
    """What the address asks for; nonsense counts as not said."""
    sent = request.GET
    chosen = [each for each in targets if each.name == sent.get("target")]
    group = sent.get("group", "")[:LONGEST]
    return Question(
        targets=chosen or targets[:COLUMNS],
        now=timezone.now(),
        q=_text(sent.get("q")),
        tag=_text(sent.get("tag")),
        state=_one_of(sent.get("state"), STATES, ""),
        sort=_one_of(sent.get("sort"), SORTS, "name"),
        group=group if group == PREFIX or (group.startswith(BY_TAG) and group != BY_TAG) else "",
    )


def _text(value: str | None) -> str:
    """PostgreSQL has no NUL."""
    return (value or "").replace("\x00", "").strip()[:LONGEST]


def _one_of(value: str | None, allowed: Any, otherwise: str) -> str:
    return value if value is not None and value in allowed else otherwise


# --- Figures ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure, which filters the matrix."""

    state: str
    """What it filters by; again, and it no longer does."""

    count: int
    words: str
    icon: str
    colour: str
    """"" where nothing is counted."""

    is_on: bool
    trend: charts.Trend | None = None
    told: str = ""
    """What the line shows, for people who do not see it."""


def _tiles(counted: figures.Figures, question: Question) -> list[Tile]:
    weeks = f"Deliveries of the last {len(counted.weeks)} weeks: {', '.join(map(str, counted.weeks))}."
    told = [
        ("approved", counted.approved, "held through approval", "shield-check", "green"),
        ("outside", counted.outside, "outside approval", "shield-x", "red"),
        ("before", counted.before, "found before Countersign", "history", "grey"),
        ("waiting", counted.waiting, "waiting", "clock", "amber"),
        ("delivered", counted.delivered, "delivered in 7 days", "rocket", "blue"),
    ]
    return [
        Tile(
            state,
            count,
            words,
            symbol,
            colour if count else "grey",
            question.state == state,
            charts.trend(counted.weeks) if state == "delivered" else None,
            weeks if state == "delivered" else "",
        )
        for state, count, words, symbol, colour in told
    ]


# --- Groups -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    """"" where the matrix is not grouped."""

    rows: Sequence[rows.Row]


def _groups(found: Sequence[rows.Row], group: str) -> list[Group]:
    """The rows are in the order of their groups."""
    if not group:
        return [Group("", found)]
    nameless = f"Without the tag {group.removeprefix(BY_TAG)}"
    named: dict[str, list[rows.Row]] = {}
    for row in found:
        named.setdefault(row.group or nameless, []).append(row)
    return [Group(name, its) for name, its in named.items()]


def _group_choices(found: Sequence[Any], question: Question) -> dict[str, str]:
    """By prefix, or by a tag that a model of this page has."""
    tags = {f"{BY_TAG}{key}": f"Tag {key}" for key in sorted({key for model in found for key in model.tags})[:20]}
    chosen = {question.group: f"Tag {question.group.removeprefix(BY_TAG)}"} if question.group.startswith(BY_TAG) else {}
    return {"": "No groups", PREFIX: "Name prefix"} | tags | chosen
