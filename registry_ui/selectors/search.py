"""The search: models, policies and people by part of their name, requests by number or words, versions by number, run
or commit.

Whatever cannot use an index looks through a bounded number of rows, so that the page stays fast at any size.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast

from accounts.models import User
from approvals.models import Comment, Policy, PromotionRequest
from mirror import composed
from mirror.models import HEAVY, ModelVersion, RegisteredModel

EACH = 10
"""Hits that each group shows."""

LOOKED_THROUGH = 2_000
"""Versions, the most recently changed ones, whose tags and parameters are searched; and requests, the latest ones."""

MOST_WORDS = 6

_VERSION = re.compile(
    r"^(?:models:/)?(?P<model>.+?)(?:/versions/|/|\s+version\s+|\s+v|@v|:v?|\s+)(?P<number>\d{1,9})/?$", re.I
)
_HEX = re.compile(r"^[0-9a-f]{7,64}$", re.I)
_REQUEST = re.compile(r"^(?:request\s*)?#?(?P<number>\d{1,18})$", re.I)


@dataclass
class Found:
    models: list[RegisteredModel] = field(default_factory=list)
    versions: list[tuple[ModelVersion, str]] = field(default_factory=list)
    """With why each was found: `run 3f2…`, `git_commit a7c…`, or ""."""

    requests: list[PromotionRequest] = field(default_factory=list)
    people: list[User] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    exact: RegisteredModel | ModelVersion | PromotionRequest | None = None
    """The one thing that was named exactly, where that is beyond doubt."""

    @property
    def has_more_models(self) -> bool:
        """There may be more than are shown; the list of models has them all."""
        return len(self.models) == EACH

    @property
    def count(self) -> int:
        return sum(len(each) for each in (self.models, self.versions, self.requests, self.people, self.policies))


def find(q: str) -> Found:
    """Models, requests, people, policies and versions that fit the first 256 characters of `q`, each list bounded."""
    q = q.strip()[:256]
    if not q:
        return Found()
    found = Found(models=_models(q), requests=_requests(q), people=_people(q), policies=_policies(q))
    named = _named_version(q)
    by_run = list(_listed(_by_run(q))) if _HEX.match(q) else []
    seen: set[int] = set()
    for version, why in [
        *((each, "") for each in named),
        *((each, f"run {each.run_id}") for each in by_run),
        *_by_value(q),
    ]:
        if version.pk not in seen:
            seen.add(version.pk)
            found.versions.append((version, why))
    found.versions = found.versions[:EACH]
    found.exact = _exact(q, found, named, by_run)
    return found


def _exact(
    q: str, found: Found, named: Sequence[ModelVersion], by_run: Sequence[ModelVersion]
) -> RegisteredModel | ModelVersion | PromotionRequest | None:
    if q.startswith("#") and found.requests:
        return found.requests[0]
    if len(named) == 1:
        return named[0]
    if (
        len(found.models) + len(found.versions) + len(found.people) == 1
    ):  # requests and policies that mention it count not
        if len(by_run) == 1 and by_run[0].run_id == q.lower():
            return by_run[0]
        if found.models and found.models[0].name == q:
            return found.models[0]
    return None


def _models(q: str) -> list[RegisteredModel]:
    """Those whose name is or begins with it first; deleted ones last."""
    found = RegisteredModel.objects.filter(name__icontains=q).order_by("name")[: EACH * 10]
    low = q.lower()
    best = sorted(
        found, key=lambda each: (each.deleted_at is not None, not each.name.lower().startswith(low), each.name)
    )
    exact = RegisteredModel.objects.filter(name=q).first()
    return ([exact] if exact else []) + [each for each in best if each != exact][: EACH - bool(exact)]


def _requests(q: str) -> list[PromotionRequest]:
    """By number; else the latest ones that have each word in their reason, their discussion, or the model's name."""
    listed = PromotionRequest.objects.with_subject().defer("evidence", "rule")
    if match := _REQUEST.match(q):
        return list(listed.filter(pk=int(match["number"])))
    latest = PromotionRequest.objects.order_by("-pk").values("pk")[:LOOKED_THROUGH]
    found = listed.filter(pk__in=latest)
    for word in q.split()[:MOST_WORDS]:
        said = Comment.objects.filter(request=OuterRef("pk"), body__icontains=word)
        found = found.filter(Q(justification__icontains=word) | Q(version__model__name__icontains=word) | Exists(said))
    return list(found.order_by("-pk")[:EACH])


def _policies(q: str) -> list[Policy]:
    return list(
        Policy.objects.current().filter(model_pattern__icontains=q).order_by("model_pattern", "target__position")[:EACH]
    )


def _people(q: str) -> list[User]:
    return list(
        User.objects.people().filter(Q(name__icontains=q) | Q(email__icontains=q)).order_by("name", "email")[:EACH]
    )


def _named_version(q: str) -> list[ModelVersion]:
    """`churn_predictor 7`, `churn_predictor v7`, `models:/churn_predictor/7` and the like."""
    match = _VERSION.match(q)
    if not match:
        return []
    return list(_listed(ModelVersion.objects.filter(model__name=match["model"], number=int(match["number"]))))


def _by_run(q: str) -> "QuerySet[ModelVersion]":
    """By a run's id or its beginning; run ids are lower-case hexadecimal, so `g` comes after all that can follow."""
    return ModelVersion.objects.filter(run_id__gte=q.lower(), run_id__lt=f"{q.lower()}g")


def _by_value(q: str) -> list[tuple[ModelVersion, str]]:
    """Recently changed versions with a tag or parameter whose value begins with it: a commit, a data hash, a date."""
    if len(q) < 4:
        return []
    # By their numbers: given the query for them, PostgreSQL rather reads the texts of all versions.
    recent = [pk for (pk,) in composed.rows(_recent)]
    texts = {f"{name}_text": Cast(name, TextField()) for name in ("tags", "params", "run")}
    anywhere = Q(tags_text__icontains=q) | Q(params_text__icontains=q) | Q(run_text__icontains=q)
    rows = (
        ModelVersion.objects.alias(**texts)
        .filter(anywhere, pk__in=recent)
        .select_related("model")
        .order_by("-last_updated_at")[: EACH * 5]
    )
    hits = []
    for version in rows:
        for values in (version.tags, version.params, version.run.get("tags") or {}):
            key = next((key for key, value in values.items() if str(value).lower().startswith(q.lower())), None)
            if key:
                hits.append((version, f"{key} {str(values[key])[:80]}"))
                break
    return hits


def _recent() -> "QuerySet[Any, Any]":
    return ModelVersion.objects.order_by("-last_updated_at").values_list("pk")[:LOOKED_THROUGH]


def _listed(versions: "QuerySet[ModelVersion]") -> "QuerySet[ModelVersion]":
    return versions.select_related("model").defer(*HEAVY, "metrics").order_by("-created_at", "-pk")[:EACH]
