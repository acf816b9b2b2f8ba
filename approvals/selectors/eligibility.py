"""Whether a version can be asked into a target now, and why not. The pages and the verb ask the same questions here."""

from approvals.models import PromotionRequest, Target
from approvals.selectors import request_state
from mirror.models import ModelVersion


def open_request(version: ModelVersion, target: Target) -> PromotionRequest | None:
    return PromotionRequest.objects.open().filter(version=version, target=target).first()


def cannot_be_asked(version: ModelVersion, target: Target) -> str:
    """A sentence that says why this version cannot be asked into this target now, or "" when it can."""
    if target.retired_at:
        return f"{target.name} is retired."
    if version.deleted_at or version.model.deleted_at:
        return f"Version {version.number} no longer exists in MLflow."
    if version.status != "READY":
        return f"Version {version.number} is not ready in MLflow ({version.status})."
    if version.run_id and version.facts_at is None:
        return f"The run of version {version.number} has not been read from MLflow yet. Try again in a few seconds."
    champion = request_state.champion_of(version.model, target)
    if champion is not None and champion.pk == version.pk and _is_fully_held(version, target):
        return f"Version {version.number} holds {target.name} already."
    return request_state.would_vacate(version, target)


def _is_fully_held(version: ModelVersion, target: Target) -> bool:
    """Stage and alias, where the target means both. A half-held target may be asked for, to make it whole."""
    has_alias = not target.alias or version.model.aliases.filter(name=target.alias, number=version.number).exists()
    return (not target.stage or version.stage == target.stage) and has_alias
