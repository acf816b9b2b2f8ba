"""The tenures of one model for its page: the newest, as a picture with a lane per target and as rows of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from approvals.models import Review, Target, Tenure
from approvals.tenures import as_of, chart, labels
from approvals.tenures.chart import Picture

NEWEST = 60


@dataclass(frozen=True, slots=True)
class Row:
    tenure: Tenure
    approvals: Sequence[Review]

    @property
    def how(self) -> str:
        return labels.sentence(self.tenure)

    @property
    def ending(self) -> str:
        return labels.ending(self.tenure)


@dataclass(frozen=True, slots=True)
class Tenures:
    picture: Picture
    count: int
    """Of those in the picture."""

    rows: Sequence[Row]
    """The same, newest first, where they are wanted in words."""

    is_cut: bool
    """There are earlier ones, which time travel shows."""


def of(model_name: str, targets: Sequence[Target], *, in_words: bool) -> Tenures | None:
    """None where no tenure is known. `targets` have a lane each, a retired one only if something held it. One query,
    and another for rows `in_words`."""
    now = timezone.now()
    newest = (
        Tenure.objects.filter(model_name=model_name)
        .select_related("target", "request__requester")
        .defer("request__evidence", "request__rule", "request__parts", "request__justification")
        .order_by("-started_at", "-pk")
    )
    found = list(newest[: NEWEST + 1])
    if not found:
        return None
    shown = found[:NEWEST]
    approvals = as_of.approvals_of(each.request_id for each in shown if each.request_id) if in_words else {}
    first = min(each.started_after or each.started_at for each in shown)
    since = first - max((now - first) * 0.02, timedelta(minutes=1))
    return Tenures(
        picture=chart.picture(lanes(shown, targets), since=since, until=max(now, _latest(shown)), urls=urls(shown)),
        count=len(shown),
        rows=[Row(each, approvals.get(each.request_id or 0, ())) for each in shown] if in_words else (),
        is_cut=len(found) > NEWEST,
    )


def lanes(found: Sequence[Tenure], targets: Sequence[Target]) -> dict[str, list[Tenure]]:
    """By the target's name: those of `targets`, then others that something held."""
    result: dict[str, list[Tenure]] = {target.name: [] for target in targets}
    for tenure in found:
        result.setdefault(tenure.target.name, []).append(tenure)
    return result


def urls(found: Sequence[Tenure]) -> Mapping[int, str]:
    """Address of the request by the number of the tenure, for those that came by one."""
    return {each.pk: each.request.get_absolute_url() for each in found if each.request}


def _latest(found: Sequence[Tenure]) -> datetime:
    """A worker's clock may be ahead of this one's."""
    return max(each.ended_at or each.started_at for each in found)
