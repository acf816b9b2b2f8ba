"""Up to four versions of one model side by side, as the mirror has them now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from approvals.models import Target
from approvals.selectors import catalogue, target_holders
from approvals.views import comparison_download, comparison_page
from approvals.views.comparison_sides import MOST_VERSIONS, Side
from approvals.views.shared import SignedInRequest
from mirror.models import ModelVersion, RegisteredModel

OFFERED = 200
"""So many of the newest versions can be picked from the list; any other by its number in the address."""


@dataclass(frozen=True, slots=True)
class Column:
    """One of the versions that are compared, and where the page goes without it or with it as the baseline."""

    side: Side
    held: str
    """The targets that it holds; "" for none."""

    without: str
    as_baseline: str
    """Query strings; "" where there is nothing to change."""


@require_safe
def compare(request: SignedInRequest, name: str) -> HttpResponseBase:
    """`?v=7&v=5&base=6`: how 7 and 5 differ from 6. Without a baseline it is what holds a target, Production before
    others; without any number the newest version is held against that. `?a=6&b=7` means the same as `?v=7&base=6`."""
    model = get_object_or_404(RegisteredModel, name=name)
    held = _held(model)
    numbers = list(catalogue.versions(model).values_list("number", flat=True)[:OFFERED])
    chosen, left_out = _chosen(request, numbers, list(held))
    found = {row.number: row for row in ModelVersion.objects.filter(model=model, number__in=chosen)}
    missing = [number for number in chosen if number not in found]
    if missing or not chosen:
        raise Http404(f"{model.name} has no version {missing[0]}." if missing else f"{model.name} has no versions.")
    for row in found.values():
        row.model = model
    wanted = comparison_page.wanted(request.GET)
    sheet = comparison_page.of_versions([found[number] for number in chosen], wanted)
    if comparison_download.is_asked(request):
        return comparison_download.answer(request, sheet, model.name)
    context = {
        "model": model,
        "sheet": sheet,
        "columns": [_column(request, side, sheet.sides, held.get(side.number, "")) for side in sheet.sides],
        "offered": _offered(numbers, chosen, held),
        "left_out": left_out,
        "most": MOST_VERSIONS,
    }
    return render(request, "registry_ui/compare.html", context)


def _offered(numbers: Sequence[int], chosen: Sequence[int], held: Mapping[int, str]) -> list[tuple[int, str]]:
    """(version, the targets that it holds) of those that can be added, what holds a target first."""
    if len(chosen) >= MOST_VERSIONS:
        return []
    left = [number for number in dict.fromkeys((*held, *numbers)) if number not in chosen]
    return [(number, held.get(number, "")) for number in left]


def _held(model: RegisteredModel) -> dict[int, str]:
    """{version: the targets that it holds}, what holds Production first."""
    found: dict[int, list[str]] = {}
    holdings = target_holders.of([model], list(Target.objects.current()))[model.pk]
    for holding in sorted(holdings, key=lambda each: each.target.stage != "Production"):
        found.setdefault(holding.version.number, []).append(holding.target.name)
    return {number: ", ".join(names) for number, names in found.items()}


def _chosen(request: HttpRequest, numbers: Sequence[int], held: Sequence[int]) -> tuple[list[int], list[int]]:
    """The baseline and the versions held against it, and those of the address for which there is no column."""
    base = _number(request.GET.get("base") or request.GET.get("a"))
    asked = [_number(text) for text in (*request.GET.getlist("v"), request.GET.get("b"))]
    wanted = list(dict.fromkeys(number for number in asked if number and number != base))
    if base is None:
        own = [number for number in held if number in wanted]
        base = next(iter(own or ([] if len(wanted) > 1 else held)), None)
        if base is None and len(wanted) > 1:
            base = min(wanted)
        wanted = [number for number in wanted if number != base]
    if not wanted:
        wanted = [number for number in numbers if number != base][:1]
    if base is None:
        base = next((number for number in numbers if number not in wanted), None)
    chosen = [*([base] if base else []), *wanted]
    return chosen[:MOST_VERSIONS], chosen[MOST_VERSIONS:]


def _number(text: str | None) -> int | None:
    """What is in the address, if a version can have that number."""
    if text and text.isascii() and text.isdigit() and 0 < int(text[:10]) < 2**31:
        return int(text[:10])
    return None


def _column(request: HttpRequest, side: Side, sides: Sequence[Side], held: str) -> Column:
    base, numbers = sides[0].number, [each.number for each in sides]
    left = [number for number in numbers if number != side.number]
    return Column(
        side,
        held,
        _query(request, left, base if base in left else left[0]) if len(left) > 1 else "",
        _query(request, numbers, side.number) if side.number != base else "",
    )


def _query(request: HttpRequest, numbers: Sequence[int], base: int) -> str:
    """The same page with these versions."""
    query = request.GET.copy()
    for key in ("a", "b", "page", "show"):
        query.pop(key, None)
    query.setlist("v", [str(number) for number in numbers if number != base])
    query["base"] = str(base)
    return f"?{query.urlencode()}"
