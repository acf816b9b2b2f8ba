"""The metrics that a request's evidence has, judged by the metrics of record of its rule."""

import json
from collections.abc import Mapping
from typing import Any

from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow, remarks
from approvals.models import PromotionRequest
from approvals.policy import Rule
from mirror.models import ModelVersion


def rows_of(request: PromotionRequest) -> list[MetricRow]:
    """All of both versions, by name. No query: they are in the request, whose version and champion are read."""
    frozen = json.loads(request.evidence)
    facts, other = frozen["version"], frozen["champion"]
    return comparison.metric_rows(
        numbers(facts["metrics"]),
        numbers(other["metrics"]) if other else None,
        sources=sources(facts, request.version),
        champion_sources=sources(other, request.champion),
        rules=Rule.from_json(frozen["rule"]).metrics,
    )


def sources(facts: Mapping[str, Any] | None, version: ModelVersion | None) -> dict[str, Mapping[str, Any]]:
    """Of the metrics of an evidence: their data sets as frozen, and what the mirror knows of them besides."""
    if not facts or version is None:
        return {}
    return remarks.sources(facts["metrics"], facts.get("measured_on"), version.fact_sources.get("metrics", {}))


def numbers(metrics: Mapping[str, str]) -> dict[str, float | str]:
    """Metrics as `evidence.numbers` wrote them: text, of which NaN and the infinities stay text."""
    return {
        name: value if value in ("NaN", "Infinity", "-Infinity") else float(value) for name, value in metrics.items()
    }
