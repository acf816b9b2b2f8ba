"""Time travel: what held each target of each model at a moment, as a page with a time line and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from approvals import administration
from approvals.forms.history import SPANS, MomentForm
from approvals.forms.moments import written
from approvals.models import Tenure
from approvals.tenures import as_of, chart
from approvals.tenures.as_of import Question
from approvals.views.guard import needs
from approvals.views.shared import SignedInRequest
from components.times import in_utc

LANES = 10
"""Of the time line: more do not fit on a screen."""

DRAWN = 120
"""Tenures of the time line: ten lanes of more lie on each other, and take half of the page's time."""

JSON_MODELS = 200
QUICK = (
    ("An hour ago", timedelta(hours=1)),
    ("Yesterday", timedelta(days=1)),
    ("A week ago", timedelta(days=7)),
    ("30 days ago", timedelta(days=30)),
)


@dataclass(frozen=True, slots=True)
class TimeLine:
    """The picture, and the slider over the same span in whole seconds since 1970."""

    picture: chart.Picture
    low: int
    high: int
    value: int
    step: int
    are_more: bool
    """There are models that it does not show."""

    newest: int
    """It has so many tenures of these models, the newest ones; 0 where it has all."""


@require_safe
@needs(administration.HISTORY)
@in_utc
def at(request: SignedInRequest) -> HttpResponse:
    now = timezone.now()
    if "slide" in request.GET:
        return _from_slider(request)
    form = MomentForm(request.GET)
    if not form.is_valid():
        return render(request, "approvals/history/at.html", {"form": form}, status=422)
    found = form.cleaned_data
    question = Question(found["at"] or now, found["model"], found["target"])
    filled = MomentForm(initial=found | {"at": found["at"] or now.replace(microsecond=0)})
    beginning = as_of.beginning()
    is_future = question.moment > now
    page = as_of.page_of(question, request.GET.get("page"))
    names = [] if is_future else list(page.object_list)
    context = {
        "form": filled,
        "question": question,
        "is_now": not found["at"],
        "is_future": is_future,
        "beginning": beginning,
        "is_before_everything": beginning is None or question.moment < beginning,
        "page": page,
        "models": as_of.models(question, names),
        "steps": _steps(request, question, now),
        "quick": [("Now", _address(request, at=None))]
        + [(words, _address(request, at=written(_minute(now - ago)))) for words, ago in QUICK],
        "spans": [(key, words, _address(request, span=key)) for key, (words, _) in SPANS.items()],
        "json_url": f"{reverse('approvals:history_at_json')}?{_query(request, at=written(question.moment), span=None)}",
        "clear_url": _address(request, model=None, target=None),
    }
    if beginning is not None:
        span = found["span"] or ("all" if beginning > now - timedelta(days=30) else "month")
        window = _window(question.moment, now, beginning, SPANS[span][1])
        context |= {"span": span, "line": _time_line(question, *window, names=names if page.number > 1 else None)}
    return render(request, "approvals/history/at.html", context)


@require_safe
@needs(administration.HISTORY)
@in_utc
def at_json(request: SignedInRequest) -> HttpResponse:
    """The same answer for machines; 400 with a sentence where the question makes no sense."""
    now = timezone.now()
    form = MomentForm(request.GET)
    number = request.GET.get("page", "1")
    if not form.is_valid() or not (number.isascii() and number.isdecimal() and 0 < len(number) < 10):
        said = [str(error) for errors in form.errors.values() for error in errors] or ["page is a number from 1."]
        return JsonResponse({"error": " ".join(said)}, status=400)
    question = Question(form.cleaned_data["at"] or now, form.cleaned_data["model"], form.cleaned_data["target"])
    is_future = question.moment > now
    page = as_of.page_of(question, number, size=JSON_MODELS)
    if int(number) > page.paginator.num_pages:
        return JsonResponse({"error": f"There are {page.paginator.num_pages} pages."}, status=400)
    names = [] if is_future else list(page.object_list)
    has_next = page.has_next() and not is_future
    # The next page is of the same moment, even where `at` was left out and time continues.
    following = _query(request, at=written(question.moment), page=str(page.number + 1))
    answer = {
        "at": question.moment,
        "asked_at": now,
        "beginning": as_of.beginning(),
        "is_future": is_future,
        "models": 0 if is_future else page.paginator.count,
        "next": request.build_absolute_uri(f"{request.path}?{following}") if has_next else None,
        "holders": [
            as_of.as_plain(model.name, target, holder) | _links(request, holder)
            for model in as_of.models(question, names)
            for target, holders in model.targets
            for holder in holders
        ],
    }
    return JsonResponse(_plain(answer))


def _links(request: SignedInRequest, holder: as_of.Holder) -> dict[str, Any]:
    number = holder.tenure.request_id
    links = {
        "request": reverse("approvals:request", args=[number]) if number else None,
        "certificate": reverse("approvals:request_certificate", args=[number]) if holder.has_certificate else None,
    }
    return {"links": {name: request.build_absolute_uri(path) if path else None for name, path in links.items()}}


def _plain(value: Any) -> Any:
    """Times as ISO 8601 in UTC, to the microsecond."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value


# --- Addresses --------------------------------------------------------------------------------------------------------


def _from_slider(request: SignedInRequest) -> HttpResponse:
    """The slider speaks in seconds; the address that it leads to names the moment."""
    sent = request.GET["slide"]
    try:
        moment = datetime.fromtimestamp(int(sent), UTC)
    except (ValueError, OverflowError, OSError):
        return redirect(_address(request, slide=None))
    if moment >= timezone.now():  # its right end: the second that is not over yet
        return redirect(_address(request, slide=None, at=None))
    return redirect(_address(request, slide=None, at=written(moment)))


def _query(request: SignedInRequest, **changed: str | None) -> str:
    """The query of this page with some parts changed, or taken away (None); another moment starts on page one."""
    kept = {name: request.GET[name] for name in ("at", "model", "target", "span") if request.GET.get(name)}
    return urlencode({name: value for name, value in (kept | changed).items() if value is not None})


def _address(request: SignedInRequest, **changed: str | None) -> str:
    query = _query(request, **changed)
    return f"{reverse('approvals:history_at')}?{query}" if query else reverse("approvals:history_at")


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _steps(request: SignedInRequest, question: Question, now: datetime) -> dict[str, tuple[datetime, str] | None]:
    near = as_of.neighbours(question)
    return {
        name: (moment, _address(request, at=written(moment))) if moment and moment <= now else None
        for name, moment in (("before", near.before), ("after", near.after))
    }


# --- The time line ----------------------------------------------------------------------------------------------------


def _window(
    moment: datetime, now: datetime, beginning: datetime, length: timedelta | None
) -> tuple[datetime, datetime]:
    """What the time line shows: up to now if the moment is in that, else around the moment."""
    if length is None:
        return beginning - max((now - beginning) * 0.02, timedelta(minutes=1)), now
    seen = min(max(moment, beginning), now)
    if seen >= now - length:
        return now - length, now
    return seen - length / 2, seen + length / 2


def _time_line(question: Question, since: datetime, until: datetime, *, names: Sequence[str] | None) -> TimeLine:
    """Of the models `names`, or of the first ones that held something in the span, so that the lanes stay where they
    are while the slider moves."""
    if names is None:
        names = as_of.names_in(question, since=since, until=until, most=LANES + 1)
    found, are_older = as_of.of_span(names[:LANES], since=since, until=until, target=question.target, most=DRAWN)
    lanes: dict[str, list[Tenure]] = {}
    for tenure in sorted(found, key=lambda each: (each.model_name, each.target.position, each.target.name)):
        lanes.setdefault(_lane(tenure, names, question), []).append(tenure)
    shown = dict(list(lanes.items())[:LANES])
    urls = {each.pk: each.request.get_absolute_url() for each in found if each.request}
    marker = min(max(question.moment, since), until)
    low, high = int(since.timestamp()), int(until.timestamp()) + 1
    return TimeLine(
        picture=chart.picture(shown, since=since, until=until, urls=urls, marker=marker),
        low=low,
        high=high,
        value=min(max(int(question.moment.timestamp()), low), high),
        step=max((high - low) // 2000, 1),
        are_more=len(names) > LANES or len(lanes) > LANES,
        newest=DRAWN if are_older else 0,
    )


def _lane(tenure: Tenure, names: Sequence[str], question: Question) -> str:
    if len(names) == 1:
        return tenure.target.name
    return tenure.model_name if question.target else f"{tenure.model_name} · {tenure.target.name}"
