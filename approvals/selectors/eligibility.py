"""Whether a version can be asked into a target now, and why not. The pages and the verb ask the same questions here."""

from approvals.models import PromotionRequest, Target
from approvals.selectors import champions
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
    champion = champions.champion_of(version.model, target)
    if champion is not None and champion.pk == version.pk and _is_fully_held(version, target):
        return f"Version {version.number} holds {target.name} already."
    return would_vacate(version, target)


def _is_fully_held(version: ModelVersion, target: Target) -> bool:
    """Stage and alias, where the target means both. A half-held target may be asked for, to make it whole."""
    has_alias = not target.alias or version.model.aliases.filter(name=target.alias, number=version.number).exists()
    return (not target.stage or version.stage == target.stage) and has_alias


def would_vacate(version: ModelVersion, target: Target) -> str:
    """A sentence when the version would leave a later target empty by reaching this one, or ""."""
    higher = _higher_target_held(version, target)
    if higher is None:
        return ""
    return (
        f"Version {version.number} holds {higher.name}, and a version has one stage in MLflow: {higher.name} would "
        f"be left without it. Promote another version to {higher.name} first."
    )


def gone(version: ModelVersion) -> str:
    """A sentence when the version no longer exists in MLflow under this name, with what it is called now where its
    model was renamed; else ""."""
    if not (version.deleted_at or version.model.deleted_at):
        return ""
    said = f"Version {version.number} of {version.model.name} no longer exists in MLflow"
    now = renamed(version)
    return f"{said}: the model is called {now.model.name} now. Ask for the promotion there." if now else f"{said}."


def renamed(version: ModelVersion) -> ModelVersion | None:
    """The version under its model's new name; None where it is not gone. MLflow keeps number, run and time of making
    when a model is renamed."""
    if not (version.deleted_at or version.model.deleted_at):
        return None
    found = ModelVersion.objects.filter(
        number=version.number, created_at=version.created_at, run_id=version.run_id, source=version.source
    )
    found = found.filter(deleted_at=None, model__deleted_at=None).exclude(model=version.model_id)
    return found.select_related("model").order_by("-model__last_updated_at").first()


def _higher_target_held(version: ModelVersion, target: Target) -> Target | None:
    """The target later in the row whose stage the version would lose by reaching this one's."""
    if not target.stage or version.stage == target.stage:
        return None
    return Target.objects.current().filter(stage=version.stage, position__gt=target.position).exclude(stage="").first()
