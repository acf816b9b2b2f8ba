"""What the trials ask of the installation, in its environment: `python -m tests.faults.account NAME ARGS`."""

import contextlib
from collections import Counter
from typing import Any

from tests.e2e.probes import approve_only, approved_request, join, mirrored, open_request, set_up, vigilant_policy
from tests.support.probing import main

CALLED = (approve_only, join, set_up)
"""Of the browser tests' probes, by the name."""

Subject = tuple[str, int, int]
"""Model, version, request: a promotion that was approved."""


def opened(versions: list[tuple[str, int]]) -> list[int]:
    """Asks for each version that the mirror has, and waits for the checks."""
    return [open_request(model, number) for model, number in versions]


def enforce() -> None:
    """Has Production enforced in MLflow, whose gate is asked from then on whether it stands."""
    from approvals import administration
    from approvals.models import Enforcement, Target

    target = Target.objects.get(name="Production")
    target.enforcement = Enforcement.ENFORCE
    administration.save_target(target, by=None)


def vigilant(models: list[str]) -> None:
    for model in models:
        vigilant_policy(model)


def approved(versions: list[tuple[str, int]]) -> list[int]:
    """Asks for each version and approves it; returns the requests' ids. One that does not get through its checks is
    left as it is: the audit tells of it."""
    from approvals.models import PromotionRequest

    found = []
    for model, number in versions:
        with contextlib.suppress(RuntimeError):
            approved_request(model, number)
        asked = PromotionRequest.objects.filter(version__model__name=model, version__number=number)
        found.append(int(asked.latest("pk").pk))
    return found


def is_settled(subjects: list[Subject]) -> bool:
    """Whether nothing of these is on its way any more."""
    from approvals.models import OutboxEntry, PromotionRequest

    ids = [each[2] for each in subjects]
    on_their_way = PromotionRequest.objects.filter(pk__in=ids, status__in=["checking", "pending", "approved"])
    return not (on_their_way.exists() or OutboxEntry.objects.open().filter(request_id__in=ids).exists())


def mirror_has(versions: list[tuple[str, int]]) -> bool:
    return all(str(number) in mirrored(model) for model, number in versions)


def incidents() -> int:
    from approvals.models import Incident

    return Incident.objects.count()


def hold_the_ledger() -> None:
    """As a process that is in the middle of recording something, until it is killed."""
    import time

    from django.db import transaction

    from approvals.models import ChainHead

    with transaction.atomic():
        ChainHead.objects.select_for_update().get(pk=1)
        print("held", flush=True)
        time.sleep(600)


def checkpoints() -> list[tuple[int, int]]:
    """Number and last event of each, as they were taken."""
    from approvals.models import Checkpoint

    return list(Checkpoint.objects.order_by("pk").values_list("number", "sequence"))


def mails_noted(ids: list[str]) -> list[str]:
    from approvals.models import Notification

    return list(Notification.objects.filter(message_id__in=ids).values_list("message_id", flat=True).distinct())


def mails_of(email: str, requests: list[int]) -> list[int]:
    """Of which of these a person was told that they wait, once each of them was told; [] before."""
    from approvals.models import Notification

    told = Notification.objects.filter(request_id__in=requests, kind="waits", recipient__email=email)
    sent = list(told.filter(sent_at__isnull=False).values_list("request_id", flat=True))
    return sent if len(sent) >= len(requests) else []


def audit(url: str, subjects: list[Subject], incidents_before: int | None) -> dict[str, list[str]]:
    """What is wrong, by kind, with promotions of which none was touched by anybody but Countersign."""
    from approvals import ledger
    from approvals.models import Incident
    from tests.support.backstage import Backstage

    engineer, found = Backstage(url), {"holder": [], "fact": [], "incident": [], "stuck": []}
    applied = [each for each in subjects if _is_applied(engineer, found, *each)]
    for model, number in {model: number for model, number, _ in applied}.items():
        _judge_holders(engineer, found, model, number)
    if incidents_before is not None:
        for each in Incident.objects.order_by("pk")[incidents_before:]:
            found["incident"].append(f"{each.model_name} {each.place}: {each.before} → {each.after} ({each.kind})")
    if problem := ledger.verify().problem:
        found["fact"].append(f"ledger: {problem}")
    return found


def _is_applied(engineer: Any, found: dict[str, list[str]], model: str, number: int, request_id: int) -> bool:
    from approvals.models import AuditEvent, PromotionRequest, Tenure

    request = PromotionRequest.objects.get(pk=request_id)
    name = f"#{request_id} {model} v{number}"
    if request.status != "applied":
        found["stuck"].append(f"{name} is {request.status}: {request.status_reason[:200]}")
        return False
    counted = Counter(AuditEvent.objects.filter(request=request).values_list("action", flat=True))
    replaces = Tenure.objects.filter(model_name=model, version_number__lt=number, origin="delivery").exists()
    expected = {"request.created": 1, "review.approved": 2, "request.approved": 1, "version.promoted": 1}
    expected["version.replaced"] = 1 if replaces else 0
    expected["delivery.failed"] = 0
    for action, count in expected.items():
        if counted[action] != count:
            found["fact"].append(f"{name}: {counted[action]} events {action}, not {count}")
    outcomes = list(request.outbox_entries.values_list("outcome", flat=True))
    if outcomes != ["applied"]:
        found["fact"].append(f"{name}: its outbox has {outcomes}")
    for place in ("Production", "@champion"):
        tenures = Tenure.objects.filter(model_name=model, version_number=number, place=place)
        if [each.request_id for each in tenures] != [request_id]:
            found["fact"].append(f"{name}: {tenures.count()} tenures of {place}")
    version = engineer.call("GET", "model-versions/get", name=model, version=str(number))["model_version"]
    notes = version.get("description", "").count(f"request #{request_id}\n")
    if notes != 1:
        found["fact"].append(f"{name}: {notes} approval notes in MLflow")
    tags = {each["key"]: each["value"] for each in version.get("tags", [])}
    wanted = {"request", "target", "approved_by", "approved_at", "requested_by", "fingerprint", "url", "ledger_head"}
    if missing := sorted(each for each in wanted if not tags.get(f"countersign.{each}")):
        found["fact"].append(f"{name}: no tags {', '.join(missing)}")
    elif tags["countersign.request"] != str(request_id):
        found["fact"].append(f"{name}: tagged as #{tags['countersign.request']}")
    return True


def _judge_holders(engineer: Any, found: dict[str, list[str]], model: str, number: int) -> None:
    from approvals.models import Tenure

    stages = {
        int(each["version"]): each["current_stage"]
        for each in engineer.call("GET", "model-versions/search", filter=f"name='{model}'")["model_versions"]
    }
    aliases = engineer.call("GET", "registered-models/get", name=model)["registered_model"].get("aliases", [])
    said = {
        "MLflow, Production": [each for each, stage in sorted(stages.items()) if stage == "Production"],
        "MLflow, @champion": [int(each["version"]) for each in aliases if each["alias"] == "champion"],
        "the mirror": [int(each) for each, stage in sorted(mirrored(model).items()) if stage == "Production"],
    }
    for place in ("Production", "@champion"):
        running = Tenure.objects.open().filter(model_name=model, place=place)
        said[f"tenures, {place}"] = sorted(running.values_list("version_number", flat=True))
    found["holder"] += [f"{model}: {who} has {held}, not [{number}]" for who, held in said.items() if held != [number]]


if __name__ == "__main__":
    main(globals())
