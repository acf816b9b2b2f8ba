"""The list of models, and one model with its versions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, QuerySet, Value
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.models import User
from approvals import administration, policy
from approvals.evidence import comparison
from approvals.models import Incident, Probation, PromotionRequest, Target
from approvals.policy.metrics import names_first
from approvals.selectors import (
    catalogue,
    follow_up,
    metrics_of_record,
    new_versions,
    refused,
    reviewers,
    target_holders,
)
from approvals.views.shared import SignedInRequest
from components import plots
from components.pagination import page_of
from mirror import composed
from mirror.models import RegisteredModel
from registry_ui.selectors import tenures as tenure_queries
from registry_ui.views.shared import history_url, own_history

MODELS_PER_PAGE = 25
VERSIONS_PER_PAGE = 25
CHARTED = 60
"""So many of the newest versions are drawn and looked through for metric names."""

KEY_METRICS = 3
REQUESTS_SHOWN = 10
INCIDENTS_SHOWN = 5
REFUSED_SHOWN = 3


@require_safe
def models(request: SignedInRequest) -> HttpResponse:
    q = request.GET.get("q", "").strip()
    show = _one_of(request.GET.get("show"), catalogue.SHOWN, "")
    sort = _one_of(request.GET.get("sort"), ("name", "-name", "changed", "-changed"), "-changed")
    targets = list(Target.objects.current())
    page = page_of(
        catalogue.models(q=q, show=show, sort=sort, targets=targets), MODELS_PER_PAGE, request.GET.get("page")
    )
    context = {
        "q": q,
        "show": show,
        "sort": sort,
        "shown": catalogue.SHOWN,
        "targets": targets,
        "page": page,
        "rows": catalogue.model_rows(list(page.object_list), targets),
        "is_filtered": bool(q or show),
        "is_choosing": "request" in request.GET and bool(policy.may_request(reviewers.actor_of(request.user))),
    }
    return render(request, "registry_ui/models.html", context)


@require_safe
def model(request: SignedInRequest, name: str) -> HttpResponse:
    found = get_object_or_404(RegisteredModel, name=name)
    targets = list(Target.objects.current())
    holdings = target_holders.of([found], targets)[found.pk]
    recent = list(catalogue.versions(found).filter(deleted_at=None).values_list("number", "metrics")[:CHARTED])
    record = metrics_of_record.of_model(found)
    measured = [*(metrics for _, metrics in recent), *(holding.version.metrics for holding in holdings)]
    names = metric_names(measured, record)
    chosen = _one_of(request.GET.get("metric"), names, names[0] if names else "")
    page = page_of(catalogue.versions(found), VERSIONS_PER_PAGE, request.GET.get("page"))
    for each in page.object_list:
        each.model = found
    may_roll_back = policy.may_roll_back(reviewers.actor_of(request.user)) and not found.deleted_at
    ways_back = follow_up.with_a_way_back(found.name, targets) if may_roll_back else set()
    columns = [chosen, *(name for name in names if name != chosen)][:KEY_METRICS] if chosen else []
    may_request = policy.may_request(reviewers.actor_of(request.user)) and not found.deleted_at
    context = {
        "model": found,
        "new_versions": new_versions.newest(model=found.pk, last=targets[-1]) if may_request and targets else [],
        "targets": targets,
        "champions": _champion_cards(targets, holdings, columns, ways_back),
        "refused": [] if found.deleted_at else refused.unrequested(found.name)[:REFUSED_SHOWN],
        "permission": may_request,
        "broken": follow_up.broken_for(model=found),
        "metric_names": names,
        "metric": chosen,
        "metric_direction": comparison.MetricRow(
            chosen, None, None, rule=comparison.rule_of(chosen, record)[0]
        ).direction,
        "record": names_first(record),
        "may_set_metrics": request.user.has_perm(administration.POLICIES),
        "columns": columns,
        "plot": _plot(chosen, recent, holdings),
        "charted": CHARTED,
        "tenures": tenure_queries.of(found.name, targets, in_words=request.GET.get("timeline") == "table"),
        "page": page,
        "rows": catalogue.version_rows(list(page.object_list), columns),
        "governed": {target.alias for target in targets if target.alias},
        "half_delivered": follow_up.half_delivered(found),
        "incidents": Incident.objects.open().filter(model_name=found.name).order_by("-seen_at")[:INCIDENTS_SHOWN],
        "open_requests": composed.objects(_open_requests, found.pk),
        "events": own_history(request.user, found.name),
        "history_url": history_url(found.name),
    }
    return render(request, "registry_ui/model.html", context)


def _open_requests(model: int) -> QuerySet[PromotionRequest]:
    """What a row says of each. The order is of a sum, so that no database walks back through all that was ever asked,
    looking for those that are open."""
    found = PromotionRequest.objects.open().filter(version__model=model).order_by((F("pk") + Value(0)).desc())
    told = found.only("status", "created_at", "version__number", "target__name", "requester__name")
    return told.select_related("version", "target", "requester")[:REQUESTS_SHOWN]


def metric_names(all_metrics: Sequence[dict[str, Any]], record: Sequence[policy.MetricRule]) -> list[str]:
    """The names in these metrics: those of record in their order, then qualities, costs, and names that do not say what
    is better; the ones that most versions have before the others."""
    counts = Counter(name for metrics in all_metrics for name in metrics if not name.startswith("system/"))
    rank = {True: 0, False: 1, None: 2}

    def key(name: str) -> tuple[int, int, int, str]:
        _, place = comparison.rule_of(name, record)
        return len(record) if place is None else place, rank[comparison.higher_is_better(name)], -counts[name], name

    return sorted(counts, key=key)


@dataclass(frozen=True, slots=True)
class ChampionCard:
    """What holds one target, or that nothing does."""

    target: Target
    has_way_back: bool
    """This person may roll it back, and something held it before."""

    holding: target_holders.Holding | None
    less: PromotionRequest | None
    """Its request, where that needed less than its approvals."""

    probation: Probation | None
    approvers: Sequence[User]
    metrics: Sequence[tuple[str, Any]]


def _champion_cards(
    targets: Sequence[Target], holdings: Sequence[target_holders.Holding], columns: Sequence[str], ways_back: set[int]
) -> list[ChampionCard]:
    """One card per target, the vacant ones too. Three queries."""
    on_request = [holding.request_id for holding in holdings if holding.request_id]
    less, running = follow_up.kinds(on_request), follow_up.probations(on_request)
    approvers = target_holders.approvers(on_request)
    held = {holding.target.pk: holding for holding in holdings}
    cards = []
    for target in targets:
        holding = held.get(target.pk)
        request_id = holding.request_id or 0 if holding else 0
        metrics = holding.version.metrics if holding else {}
        cards.append(
            ChampionCard(
                target=target,
                has_way_back=target.pk in ways_back,
                holding=holding,
                less=less.get(request_id),
                probation=running.get(request_id),
                approvers=approvers.get(request_id, ()),
                metrics=[(name, metrics[name]) for name in columns if name in metrics],
            )
        )
    return cards


def _plot(
    metric: str, recent: Sequence[tuple[int, dict[str, Any]]], holdings: Sequence[target_holders.Holding]
) -> plots.Plot | None:
    held: dict[int, list[str]] = {}
    values = {number: metrics.get(metric) for number, metrics in recent}
    for holding in holdings:
        held.setdefault(holding.version.number, []).append(holding.target.name)
        values[holding.version.number] = holding.version.metrics.get(metric)
    return plots.of_versions(metric, values.items(), held)


def _one_of(value: str | None, allowed: Any, otherwise: str) -> str:
    return value if value is not None and value in allowed else otherwise
