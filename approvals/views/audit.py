"""Evidence for an audit: the population of a period with its completeness and a sample; who can approve what; how
people review. What is downloaded is an event of the ledger, written first."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_safe

from approvals import administration
from approvals.audit import access as who
from approvals.audit import archive as archives
from approvals.audit import completeness, population, replay, reviews, sampling, tally, units
from approvals.audit.periods import Period
from approvals.audit.population import Scope
from approvals.forms.audit import AccessForm, PeriodForm, PopulationForm, ReviewsForm, SampleForm
from approvals.forms.moments import written
from approvals.models import Action, AuditEvent
from approvals.views.guard import needs
from approvals.views.shared import SignedInRequest
from components.times import in_utc

PAGE_SIZE = 50
MOST_COLUMNS = 12
SAMPLE_SHOWN = 50
DATE = "%Y-%m-%d"

# --- Population and sample --------------------------------------------------------------------------------------------


@require_safe
@needs(administration.HISTORY)
@in_utc
def audit(request: SignedInRequest) -> HttpResponse:
    form, sample_form = PopulationForm(request.GET), SampleForm(request.GET)
    is_valid = form.is_valid() and sample_form.is_valid()
    size, seed = sample_form.wanted
    scope = form.scope
    counted = tally.of(scope)
    page = Paginator(_Units(scope, counted.total), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = units.of(page.object_list)
    sample = sampling.draw(scope, seed=seed, size=size, counted=counted)
    statement = completeness.state(scope, shown=[row.event for row in rows if row.event], counted=counted)
    context = {
        "form": form,
        "sample_form": sample_form,
        "scope": scope,
        "statement": statement,
        "page": page,
        "rows": rows,
        "total": counted.total,
        "sample": sample,
        "drawn": units.of(sample.ids[:SAMPLE_SHOWN]),
        "more_drawn": max(0, len(sample.ids) - SAMPLE_SHOWN),
        "may_export": administration.may(request.user, administration.EXPORT),
        "downloads": _query(request),
        "is_filtered": any(request.GET.get(name) for name in form.fields),
        "periods": _periods(request, "approvals:audit"),
        "refused_url": _refusals(scope),
        "causes": [(population.CAUSES[cause], many) for cause, many in statement.counts.items()],
    }
    return render(request, "approvals/audit/audit.html", context, status=200 if is_valid else 422)


def _refusals(scope: Scope) -> str:
    """The history, filtered to what the statement counts as refused in MLflow."""
    span = {"since": written(scope.period.since), "until": written(scope.period.until - timedelta(microseconds=1))}
    target = scope.target.name if scope.target else ""
    found = {"action": str(Action.REFUSED_IN_MLFLOW), "model": scope.model_name, "target": target} | span
    return f"{reverse('approvals:history')}?{urlencode({key: value for key, value in found.items() if value})}"


class _Units(Sequence[str]):
    """What the paginator takes: counted before, and reads one page of ids."""

    def __init__(self, scope: Scope, total: int) -> None:
        self._scope, self._total = scope, total

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, span: Any) -> Any:
        return units.between(self._scope, span.start, span.stop, total=self._total)


@require_GET
@needs(administration.EXPORT)
def population_csv(request: SignedInRequest) -> HttpResponseBase:
    return _population(request, "csv", lambda rows: population.csv_lines(units.COLUMNS, rows))


@require_GET
@needs(administration.EXPORT)
def population_jsonl(request: SignedInRequest) -> HttpResponseBase:
    return _population(request, "jsonl", population.json_lines)


def _population(request: SignedInRequest, suffix: str, lines: Callable[..., Iterator[str]]) -> HttpResponseBase:
    form = PopulationForm(request.GET)
    if not form.is_valid():
        return _back(request, "approvals:audit")
    own = administration.record_evidence(by=request.user, what="population", filters=form.scope.filters, form=suffix)
    rows = (each.as_plain() for each in units.every(form.scope.before(own)))
    return _download(lines(rows), f"countersign-population-{_days(form.period)}.{suffix}")


@require_GET
@needs(administration.EXPORT)
def archive(request: SignedInRequest) -> HttpResponseBase:
    """The ZIP is made while it is sent. What it holds ends just before the event that records it."""
    form, sample_form = PopulationForm(request.GET), SampleForm(request.GET)
    if not form.is_valid() or not sample_form.is_valid():
        return _back(request, "approvals:audit")
    size, seed = sample_form.wanted
    seed = seed or sampling.default_seed(form.scope)
    own = administration.record_evidence(
        by=request.user, what="archive", filters=form.scope.filters, seed=seed, size=size
    )
    scope = form.scope.before(own)
    sample = sampling.draw(scope, seed=seed, size=size)
    parts = archives.stream(scope, sample, at=own.at, by=request.user.label)
    headers = {"Content-Disposition": f'attachment; filename="{archives.name_of(form.scope)}"'}
    return StreamingHttpResponse(parts, content_type="application/zip", headers=headers)


# --- Who can approve what ---------------------------------------------------------------------------------------------


@require_safe
@needs(administration.HISTORY)
@in_utc
def access(request: SignedInRequest) -> HttpResponse:
    form = AccessForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    matrix = _matrix(wanted)
    at = wanted.get("at")
    columns = matrix.columns[:MOST_COLUMNS]
    page = Paginator(matrix.rows, PAGE_SIZE).get_page(request.GET.get("page"))
    events = who.role_events(until=at, person=wanted.get("person", ""))
    changes = Paginator(events, PAGE_SIZE).get_page(request.GET.get("changes"))
    first = AuditEvent.objects.order_by("sequence").values_list("at", flat=True).first()
    context = {
        "form": form,
        "at": at,
        "columns": columns,
        "more_columns": len(matrix.columns) - len(columns),
        "rows": [(row, list(zip(columns, row.fills, strict=False))) for row in page.object_list],
        "page": page,
        "unrecorded": matrix.unrecorded,
        "changes": changes,
        "change_rows": who.role_changes(changes.object_list),
        "first_event_at": first,
        "is_before_everything": at is not None and (first is None or at < first),
        "may_export": administration.may(request.user, administration.EXPORT),
        "downloads": _query(request),
    }
    return render(request, "approvals/audit/access.html", context, status=422 if form.errors else 200)


@require_GET
@needs(administration.EXPORT)
def access_csv(request: SignedInRequest) -> HttpResponseBase:
    form = AccessForm(request.GET)
    if not form.is_valid():
        return _back(request, "approvals:audit_access")
    wanted = form.cleaned_data
    moment = wanted["at"] or timezone.now()
    filters = {
        "at": moment.isoformat(),
        "model": wanted["model"],
        "target": wanted["target"].name if wanted["target"] else "",
    }
    administration.record_evidence(by=request.user, what="access", filters=filters)
    lines = population.csv_lines(who.CSV_COLUMNS, who.plain(_matrix(wanted), moment))
    return _download(lines, f"countersign-access-{moment:%Y-%m-%d}.csv")


def _matrix(wanted: Mapping[str, Any]) -> who.Matrix:
    at, target = wanted.get("at"), wanted.get("target")
    state = replay.now() if at is None or at >= timezone.now() else replay.at(at)
    return who.matrix(state, model_name=wanted.get("model", ""), target=target.name if target else "")


# --- Reviews ----------------------------------------------------------------------------------------------------------


@require_safe
@needs(administration.HISTORY)
@in_utc
def review_analytics(request: SignedInRequest) -> HttpResponse:
    form = ReviewsForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    found = reviews.of(
        form.period, target=wanted.get("target"), hasty_seconds=wanted.get("seconds") or reviews.HASTY_SECONDS
    )
    pairs = Paginator(found.pairs, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "found": found,
        "pairs": pairs,
        "readers": found.readers[:PAGE_SIZE],
        "overrides": found.overrides[:PAGE_SIZE],
        "longest": max((wait.decided_p90 or 0 for wait in found.waits), default=0),
        "pair_share": round(reviews.PAIR_SHARE * 100),
        "pair_least": reviews.PAIR_LEAST,
        "may_export": administration.may(request.user, administration.EXPORT),
        "downloads": _query(request),
        "periods": _periods(request, "approvals:audit_reviews"),
    }
    return render(request, "approvals/audit/reviews.html", context, status=422 if form.errors else 200)


@require_GET
@needs(administration.EXPORT)
def reviews_csv(request: SignedInRequest) -> HttpResponseBase:
    form = ReviewsForm(request.GET)
    if not form.is_valid():
        return _back(request, "approvals:audit_reviews")
    target, period = form.cleaned_data["target"], form.period
    filters = {
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "target": target.name if target else "",
    }
    administration.record_evidence(by=request.user, what="reviews", filters=filters)
    lines = population.csv_lines(reviews.CSV_COLUMNS, reviews.plain(period, target=target))
    return _download(lines, f"countersign-reviews-{_days(period)}.csv")


# --- Shared -----------------------------------------------------------------------------------------------------------


def _download(lines: Iterator[str], name: str) -> StreamingHttpResponse:
    kind = "text/csv" if name.endswith(".csv") else "application/x-ndjson"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(
        (line.encode("utf-8", "surrogatepass") for line in lines),
        content_type=f"{kind}; charset=utf-8",
        headers=headers,
    )


def _days(period: Period) -> str:
    return f"{period.since:{DATE}}-{period.until:{DATE}}"


def _back(request: SignedInRequest, name: str) -> HttpResponse:
    """To the page, which says what does not make sense."""
    return redirect(f"{reverse(name)}?{request.GET.urlencode()}")


def _query(request: SignedInRequest) -> str:
    kept = request.GET.copy()
    kept.pop("page", None)
    return kept.urlencode()


def _periods(request: SignedInRequest, name: str) -> list[tuple[str, str, bool]]:
    """(words, address, whether it is the one shown) of the spans that people ask for most."""
    now = timezone.now()
    form = PeriodForm(request.GET)
    shown = form.period
    found = []
    for words, period in (
        ("Last quarter", Period.last_quarter(now)),
        ("This quarter", Period.this_quarter(now)),
        ("Last 30 days", Period.last_days(30, now)),
        ("Last 12 months", Period.last_days(365, now)),
    ):
        kept = {key: value for key, value in request.GET.items() if key not in ("since", "until", "page") and value}
        ends = {"since": f"{period.since:{DATE}}", "until": f"{period.last_day:{DATE}}"}
        found.append((words, f"{reverse(name)}?{urlencode(ends | kept)}", period == shown))
    return found
