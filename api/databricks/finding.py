"""What a client names: a version, a stage, and by the two a request, since Databricks has no numbers of requests."""

from accounts.models import User
from api.problems import NotFound, Problem
from api.resources.models import find_version
from api.resources.requests import find_request
from approvals.models import PromotionRequest, Target
from approvals.selectors import eligibility
from approvals.webhooks import mlflow_events
from mirror.models import ModelVersion


def version(name: str, number: str) -> ModelVersion:
    """Raises NotFound; the worker is told to look for it, since it may have been registered a moment ago."""
    try:
        return find_version(name, number)
    except NotFound as error:
        mlflow_events.read_anew(name)
        raise NotFound(error.code, f"{error.detail} It is looking for it; try again in a few seconds.") from error


def target(stage: str) -> Target:
    """The one that means this stage or alias (`champion` or `@champion`), or has this name. Raises Problem 422. A
    retired one is found, if no other is: the verb says that it is retired."""
    known = sorted(Target.objects.all().order_by("position", "name"), key=lambda each: each.retired_at is not None)
    for name in ("stage", "alias", "name"):
        wanted = stage.removeprefix("@") if name == "alias" else stage
        for each in known:
            if getattr(each, name) == wanted:
                return each
    current = ", ".join(stage_of(each) for each in known if each.retired_at is None)
    raise Problem(422, "unknown_target", f"Promotions can be requested to {current}, not to {stage}.")


def stage_of(target: Target) -> str:
    """How clients call it."""
    return target.stage or target.alias


def open_request(version: ModelVersion, target: Target) -> PromotionRequest:
    """The one that is open, of which there is one at most. Raises Problem 422."""
    found = eligibility.open_request(version, target)
    if found is not None:
        return find_request(found.pk)
    what = f"version {version.number} of {version.model.name} to {stage_of(target)}"
    last = PromotionRequest.objects.filter(version=version, target=target).order_by("-pk").first()
    if last is None:
        raise Problem(422, "no_request", f"No one has requested {what}.")
    raise Problem(422, "not_open", f"The request of {what} is over: {last.get_status_display().lower()}.")


def is_called(user: User, creator: str) -> bool:
    """Whether a client means this account by a user name."""
    return creator.strip().lower() in {user.email.lower(), user.name.lower()}
