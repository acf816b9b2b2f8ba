"""How the read side's pages write numbers, long values, Markdown, sortable headings and links into MLflow."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from django import template
from django.conf import settings
from django.template.context import Context
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from components import markdown as safe_markdown
from components import times
from components.curves import Spark
from components.templatetags.ui import icon
from mirror import lineage
from mirror.models import ModelVersion

register = template.Library()

LARGEST = 1.79e308

LONG = 160
"""Characters of a value that are shown before it is folded."""

WORDS = {"Infinity": "∞", "-Infinity": "−∞", "NaN": "NaN"}


# --- Values -----------------------------------------------------------------------------------------------------------


@register.filter
def number(value: Any) -> str:
    """`{{ 0.912345678|number }}`: "0.9123"; "12,345,678"; "3.2e-09"; "∞"; "" for None. At most five digits that say
    something; `exact` has the rest."""
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return WORDS.get(value, value)
    return _written(float(value))


def _written(value: float) -> str:
    if abs(value) >= LARGEST:  # how MLflow keeps infinity
        value = math.copysign(math.inf, value)
    if not math.isfinite(value):
        return WORDS.get({"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN"), "NaN")
    size = abs(value)
    if value == 0:
        return "0"
    if size >= 1e12 or size < 1e-4:
        text = f"{value:.3e}"
        mantissa, power = text.split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"
    elif size >= 1000:
        text = f"{value:,.0f}" if value == int(value) or size >= 100_000 else f"{value:,.1f}"
    else:
        text = f"{value:.4f}".rstrip("0").rstrip(".")
    return text.replace("-", "−") if text.startswith("-") else text


@register.filter
def signed(value: float | None) -> str:
    """`{{ row.difference|signed }}`: "+0.0123", "±0", or with a minus sign."""
    if value is None:
        return ""
    if value == 0:
        return "±0"
    return number(value) if value < 0 else f"+{number(value)}"


@register.filter
def percent(share: float | None) -> str:
    """`{{ row.relative|percent }}`: "+1.4 %"; "" where there is none, it is nothing, or beyond what a share can say."""
    if share is None or share == 0 or abs(share) >= 1e6:
        return ""
    size = abs(share) * 100
    text = "<0.1" if size < 0.05 else f"{size:,.1f}" if size < 1000 else f"{size:,.0f}"
    return f"{'+' if share > 0 else '−'}{text} %"


@register.filter
def length_of_time(time: timedelta) -> str:
    return times.length(time)


@register.filter
def exact(value: Any) -> str:
    """The number with all its digits, for titles."""
    return "" if value is None else str(value)


@register.filter
def at(rows: Sequence[Any], place: int) -> Any:
    """`{{ sheet.sides|at:forloop.counter0 }}`: what stands at this place of another list than the one in the loop."""
    return rows[place]


@register.simple_tag
def long_value(value: Any) -> SafeString:
    """`{% long_value param %}`: short text as it is; long text folded behind its beginning."""
    text = str(value)
    if len(text) <= LONG and text.count("\n") < 4:
        return (
            format_html('<span class="value">{}</span>', text)
            if text
            else SafeString('<span class="text-secondary">empty</span>')
        )
    start = re.sub(r"\s+", " ", text[:LONG]).strip()
    return format_html(
        '<details class="long-value"><summary>{}… <span class="text-secondary text-nowrap">{} characters</span>'
        '</summary><pre class="code">{}</pre></details>',
        start,
        f"{len(text):,}",
        text,
    )


@register.filter
def losses(version: ModelVersion) -> list[str]:
    """`{% for loss in version|losses %}`: what MLflow has lost of what it points to."""
    return lineage.losses(version)


@register.filter
def not_read(version: ModelVersion) -> str:
    """What the last look at its files could not read, in sentences; "" where all is."""
    inspection = getattr(version, "inspection", None)
    return inspection.problem if inspection else ""


@register.filter
def logged_model_id(version: ModelVersion) -> str:
    return lineage.logged_model_id(version)


@register.filter
def markdown(text: str) -> SafeString:
    """`{{ description|markdown }}` inside `<div class="prose">`."""
    return safe_markdown.render(text)


@register.filter
def mentions(html: SafeString, names: Mapping[str, str]) -> SafeString:
    """`{{ said|markdown|mentions:entry.mentioned }}`: `@remy.ortiz` becomes the name of whom it means."""
    return safe_markdown.with_mentions(html, names)


@register.filter
def plain(text: str) -> str:
    """`{{ description|plain|truncatechars:90 }}`: the beginning of a Markdown text for a line of a list."""
    start = re.sub(r"<!--.*?-->|\*\*|`|^#+ ", "", text[:300], flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\s+", " ", start).strip()


@register.filter
def name_only(label: str) -> str:
    """`Remy Ortiz` of `Remy Ortiz <remy@example.com>`."""
    return label.partition(" <")[0]


# --- Marks of charts --------------------------------------------------------------------------------------------------

_MARKS = (
    '<rect class="mark" x="-3.5" y="-3.5" width="7" height="7"/>',
    '<circle class="mark" r="3.5"/>',
    '<path class="mark" d="M0-4.5 4.2 3.5H-4.2Z"/>',
    '<path class="mark" d="M0-4.8 4.8 0 0 4.8-4.8 0Z"/>',
)


@register.simple_tag
def mark(place: int) -> SafeString:
    """`{% mark each.place %}`, around 0 0: a square for the baseline, then a dot, a triangle, a diamond."""
    return SafeString(_MARKS[place])


@register.simple_tag
def spark_line(spark: Spark) -> SafeString:
    """`{% spark_line row.spark %}`: a metric over the versions, as small as a word, those that are compared marked."""
    marks = format_html_join(
        "",
        '<g class="series-{}" transform="translate({} {})">{}</g>',
        ((each.place, each.x, each.y, mark(each.place)) for each in spark.marks),
    )
    return format_html(
        '<svg class="spark" width="96" height="24" viewBox="0 0 96 24" role="img" aria-label="{0}"><title>{0}</title>'
        '<polyline class="spark-line" points="{1}"/>{2}</svg>',
        spark.summary,
        spark.line,
        marks,
    )


# --- Lists ------------------------------------------------------------------------------------------------------------


@register.simple_tag(takes_context=True)
def sort_heading(context: Context, key: str, words: str, first: str = "") -> SafeString:
    """`{% sort_heading "changed" "Last change" "-" %}`: a `<th>` that sorts by `key`; `first` is "-" for columns
    that are read from the top. A second click turns the order round."""
    current = context["sort"]
    other = key if current == f"-{key}" else f"-{key}" if current == key else f"{first}{key}"
    query = context["request"].GET.copy()
    query["sort"] = other
    query.pop("page", None)
    order = {key: "ascending", f"-{key}": "descending"}.get(current, "")
    state = format_html(' aria-sort="{}"', order) if order else ""
    arrow = icon("arrow-up" if order == "ascending" else "arrow-down") if order else ""
    return format_html(
        '<th scope="col"{}><a class="sort" href="?{}">{}{}</a></th>', state, query.urlencode(), words, arrow
    )


@register.filter
def model_uri(version: ModelVersion) -> str:
    """What serving code loads: `models:/churn_predictor/7`."""
    return f"models:/{version.model.name}/{version.number}"


# --- Links into MLflow ------------------------------------------------------------------------------------------------


def _in_mlflow(path: str) -> str:
    """MLflow's pages keep the parameter from one to the next."""
    where = f"?workspace={settings.MLFLOW_WORKSPACE}" if settings.MLFLOW_WORKSPACE else ""
    return f"{settings.MLFLOW_UI_URL.rstrip('/')}/#/{path}{where}"


@register.filter
def mlflow_model(name: str) -> str:
    return _in_mlflow(f"models/{quote(name, safe='')}")


@register.filter
def mlflow_version(version: ModelVersion) -> str:
    return _in_mlflow(f"models/{quote(version.model.name, safe='')}/versions/{version.number}")


@register.filter
def mlflow_run(version: ModelVersion) -> str:
    """The run's page in MLflow; "" where the run or its experiment is not known."""
    experiment = version.run.get("experiment_id")
    if not version.run_id or not experiment:
        return ""
    return _in_mlflow(f"experiments/{quote(str(experiment))}/runs/{quote(version.run_id)}")


@register.filter
def web_address(url: str) -> str:
    """The address if a browser may follow it (http or https), else ""."""
    return url if urlsplit(url).scheme in ("http", "https") else ""
