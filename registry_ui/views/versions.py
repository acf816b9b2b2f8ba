"""One version: where it comes from, what it measures, how it compares with a champion, and where it may go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.models import User
from approvals import policy
from approvals.evidence import OWN_TAG, approval_note, comparison
from approvals.models import PromotionRequest, Target
from approvals.selectors import (
    catalogue,
    champions,
    eligibility,
    follow_up,
    metrics_of_record,
    note_claims,
    refused,
    reviewers,
    rules,
    target_holders,
)
from approvals.views.shared import SignedInRequest
from components.pagination import page_of
from mirror import lineage
from mirror.models import ModelVersion
from registry_ui.views.shared import history_url, own_history

FIRST = 25
"""Rows of a table before it is folded."""

PER_PAGE = 200
"""Rows of the one table that is shown whole."""

REQUESTS_SHOWN = 20


@require_safe
def version(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    found = get_object_or_404(ModelVersion.objects.select_related("model"), model__name=name, number=number)
    targets = list(Target.objects.current())
    holdings = target_holders.of([found.model], targets)[found.model_id]
    others = [holding for holding in holdings if holding.version.pk != found.pk]
    against = next((each for each in others if each.target.name == request.GET.get("against")), None)
    against = against or next(reversed(others), None)
    find = request.GET.get("find", "").strip()
    aliases = [alias for alias, _ in catalogue.aliases([found])]
    asked = list(catalogue.requests_of([found])[:REQUESTS_SHOWN])
    context = {
        "version": found,
        "model": found.model,
        "aliases": aliases,
        "governed": {target.alias for target in targets if target.alias},
        "holds": [holding for holding in holdings if holding.version.pk == found.pk],
        "targets": targets,
        "checklist": lineage.checklist(found),
        "datasets": lineage.datasets(found),
        "description": approval_note.without_notes(found.description),
        "notes": note_claims.check(found),
        "others": others,
        "against": against,
        "find": find,
        "tables": _tables(
            found,
            against,
            find=find,
            show=request.GET.get("show", ""),
            number=request.GET.get("page"),
        ),
        "refused": [] if found.deleted_at else refused.unrequested(found.model.name, found.number),
        "broken": follow_up.broken_for(version_id=found.pk),
        "panel": [_possibility(found, target, request.user) for target in targets],
        "permission": policy.may_request(reviewers.actor_of(request.user)),
        "requests": asked,
        "events": own_history(request.user, found.model.name, found.number),
        "history_url": history_url(found.model.name, found.number),
    }
    return render(request, "registry_ui/version.html", context)


@dataclass(frozen=True, slots=True)
class Possibility:
    """What the promotion panel says of one target: an open request, why it is impossible, or that it can be asked; and
    whether this person may promote in an emergency for it."""

    target: Target
    open_request: PromotionRequest | None
    impossible: str
    glass: policy.Answer | None


def _possibility(version: ModelVersion, target: Target, user: User) -> Possibility:
    impossible = eligibility.cannot_be_asked(version, target, champions.holders(version.model, target))
    breaks = user.has_perm("approvals.break_glass") and not impossible
    rule = rules.rule_for(version.model.name, target) if breaks else None
    return Possibility(
        target=target,
        open_request=eligibility.open_request(version, target),
        impossible=impossible,
        glass=policy.may_break_glass(reviewers.actor_of(user), rule.break_glass) if rule else None,
    )


# --- Metrics, params and tags: thousands of them stay usable ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    kind: str
    """metrics, params or tags: its anchor, and what `?show=` names."""

    rows: Sequence[Any]
    """Those that are shown now."""

    page: Page[Any] | None
    """Where it is shown whole."""

    fitting: int
    total: int
    nothing: str
    """Shown where there are no rows."""

    @property
    def is_cut(self) -> bool:
        return self.page is None and self.fitting > FIRST


@dataclass(frozen=True, slots=True)
class Tables:
    metrics: Table
    params: Table
    tags: Table

    @property
    def are_any(self) -> bool:
        return bool(self.metrics.total or self.params.total or self.tags.total)


def _tables(
    version: ModelVersion, against: target_holders.Holding | None, *, find: str, show: str, number: str | None
) -> Tables:
    """Each table with the rows that are shown now: the first few, what fits `find`, or one page of the whole."""
    model, champion = version.model, against.version if against else None
    metrics = comparison.metric_rows(
        version.metrics,
        champion.metrics if champion else None,
        sources=version.fact_sources.get("metrics"),
        champion_sources=champion.fact_sources.get("metrics") if champion else None,
        rules=metrics_of_record.of(model, against.target) if against else metrics_of_record.of_model(model),
    )
    params = comparison.value_rows(version.params, None, sources=version.fact_sources.get("params"))
    tags = [row for row in comparison.value_rows(version.tags, None) if not row.name.startswith(OWN_TAG)]

    def table(kind: str, rows: Sequence[Any], none: str) -> Table:
        wanted = find.lower()
        fitting = [row for row in rows if wanted in row.name.lower() or wanted in str(row.challenger).lower()]
        page: Page[Any] | None = page_of(fitting, PER_PAGE, number) if show == kind else None
        return Table(
            kind,
            rows=list(page.object_list) if page else fitting[:FIRST],
            page=page,
            fitting=len(fitting),
            total=len(rows),
            nothing=f"No match for “{find}”." if rows else none,
        )

    is_unread = version.facts_at is None and version.run_id
    return Tables(
        metrics=table(
            "metrics",
            sorted(metrics, key=lambda row: (row.place is None, row.place or 0, row.upward is None)),
            "The run has not been read yet; its metrics appear within seconds."
            if is_unread
            else "This version has no metrics.",
        ),
        params=table("params", sorted(params, key=lambda row: row.name), "This version has no parameters."),
        tags=table("tags", tags, "This version has no tags."),
    )
