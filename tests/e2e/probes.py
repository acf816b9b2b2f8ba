"""What e2e tests ask of the installation or do to it, in its environment: `python -m tests.e2e.probes` answers."""

import os
import signal
import time
import traceback
from typing import Any

from tests.support.probing import main

PASSWORD = "a-long-enough-password"
PEOPLE = (
    ("Rita Sanz", "requester"),
    ("Remy Ortiz", "reviewer"),
    ("Rosa Lind", "reviewer"),
    ("Vera Holm", "auditor"),
    ("Ada Brandt", "administrator"),
    ("Otto Reyes", "responder"),
)


def set_up() -> None:
    """Database, static files and people, before anything but MLflow runs."""
    from django.core.management import call_command

    from tests.support.factories import make_person

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    for name, role in PEOPLE:
        make_person(name, role)
    enforce("off")  # most tests move versions in MLflow themselves


def join(name: str, role: str) -> int:
    """Somebody for whom nothing waits, and whose home is therefore the overview."""
    from tests.support.factories import make_person

    return int(make_person(name, role).pk)


def token_of(name: str) -> str:
    """A new API token of this person, with all that it can have."""
    from accounts.models import User
    from tests.support.factories import make_token

    return make_token(User.objects.get(name=name), name="own-program")


def token_of_robot(name: str, owner: str) -> str:
    """A new API token of a new service account, whose owner is this person."""
    from accounts.models import User
    from tests.support.factories import make_service_account, make_token

    return make_token(make_service_account(name, owner=User.objects.get(name=owner)))


def enforce(enforcement: str) -> None:
    """What MLflow's gate does about Production from its next look at the policy on."""
    from approvals import administration
    from approvals.models import Target

    production = Target.objects.get(name="Production")
    if production.enforcement != enforcement:
        production.enforcement = enforcement
        administration.save_target(production, by=None)


def approved_request(model: str, number: int) -> int:
    """Asks and approves in one go, without a hint to the worker's broker being needed; returns the request's id."""
    from accounts.models import User
    from approvals.models import Target
    from mirror import connect, sync
    from mirror.models import ModelVersion
    from tests.support.factories import approve, make_request

    sync.refresh_model(connect.connect(), model)
    version = ModelVersion.objects.get(model__name=model, number=number)
    rita, remy, rosa = (User.objects.get(name=name) for name, _ in PEOPLE[:3])
    request = make_request(version, Target.objects.get(name="Production"), by=rita, is_checked=False)
    _assess(request.pk)
    request.refresh_from_db()
    return int(approve(request, remy, rosa).pk)


def _assess(request_id: int) -> None:
    """By this process or by the installation's worker, whoever is first."""
    from approvals import assessment
    from approvals.models import PromotionRequest
    from mirror import connect

    for _ in range(300):
        assessment.assess(request_id, connect.connect())
        status = PromotionRequest.objects.get(pk=request_id).status
        if status == "pending":
            return
        time.sleep(0.1)
    raise RuntimeError(f"Request #{request_id} is {status}.")


def approved_requests(models: list[str]) -> list[int]:
    """The same for version 2 of each."""
    return [approved_request(model, 2) for model in models]


def states(request_ids: list[int]) -> list[dict[str, Any]]:
    return [state(each) for each in request_ids]


def open_request(model: str, number: int) -> int:
    """Asks for what the mirror already has, and waits for the checks."""
    from accounts.models import User
    from approvals.models import Target
    from mirror.models import ModelVersion
    from tests.support.factories import make_request

    version = ModelVersion.objects.get(model__name=model, number=number)
    rita = User.objects.get(name="Rita Sanz")
    request = make_request(version, Target.objects.get(name="Production"), by=rita, is_checked=False)
    _assess(request.pk)
    return int(request.pk)


def open_requests(models: list[str]) -> list[int]:
    """The same for version 1 of each."""
    return [open_request(model, 1) for model in models]


def blocking_policy(model: str) -> int:
    """A policy with checks, a slot that looks at parts, and a signature."""
    from approvals.models import Target
    from approvals.policy import CheckRule, SignatureRule
    from tests.support.factories import make_policy

    rules = (CheckRule("provenance"), CheckRule("metric_threshold", "warn", {"metric": "auc_roc", "at_least": 0.99}))
    signature = SignatureRule(reauthenticate=True, asks_meaning=True)
    target = Target.objects.get(name="Production")
    return int(make_policy(model, target, (1, None, "metrics"), on_record=True, checks=rules, signature=signature).pk)


def signed_policy(model: str) -> int:
    """One approval, with a fresh proof and a meaning."""
    from approvals.models import Target
    from approvals.policy import SignatureRule
    from tests.support.factories import make_policy

    signature = SignatureRule(reauthenticate=True, within_minutes=5, asks_meaning=True)
    return int(
        make_policy(model, Target.objects.get(name="Production"), (1, None), on_record=True, signature=signature).pk
    )


def batch_policy(pattern: str) -> int:
    """Two approvals, which reviewers may give to several requests at once."""
    from approvals.models import Target
    from tests.support.factories import make_policy

    target = Target.objects.get(name="Production")
    return int(make_policy(pattern, target, (2, None), on_record=True, batch_approval=True).pk)


def blocked_request(model: str, number: int) -> int:
    """Asks for a version that a check holds back."""
    from accounts.models import User
    from approvals.models import Assessment, Target
    from mirror.models import ModelVersion
    from tests.support.factories import make_request

    version = ModelVersion.objects.get(model__name=model, number=number)
    rita = User.objects.get(name="Rita Sanz")
    request = make_request(version, Target.objects.get(name="Production"), by=rita, is_checked=False)
    for _ in range(300):
        if Assessment.objects.filter(request=request, concluded_at__isnull=False).exists():
            return int(request.pk)
        time.sleep(0.1)
    raise RuntimeError("Nobody has checked it.")


def finding_and_freeze(model: str, number: int) -> int:
    """A freeze that lies ahead, and a version that reaches Staging with a finding that is Remy's to put right."""
    from django.utils import timezone

    from accounts.models import User
    from approvals import workflow
    from approvals.models import Target
    from approvals.workflow import FindingInput
    from mirror.models import ModelVersion
    from tests.support.factories import make_freeze, make_request

    make_freeze("Christmas")
    rita, remy, rosa = (User.objects.get(name=name) for name, _ in PEOPLE[:3])
    version = ModelVersion.objects.get(model__name=model, number=number)
    request = make_request(version, Target.objects.get(name="Staging"), by=rita, is_checked=False)
    _assess(request.pk)
    finding = FindingInput("Write the runbook.", remy, timezone.now().date())
    workflow.review(request, by=rosa, verdict="approve", findings=[finding])
    return int(request.pk)


def age_proofs(name: str, seconds: int) -> int:
    """Moves what a person has proved in their sessions into the past; returns how many sessions."""
    from django.contrib.sessions.backends.db import SessionStore
    from django.contrib.sessions.models import Session

    from accounts.models import User

    person, moved = User.objects.get(name=name), 0
    for row in Session.objects.all():
        session = SessionStore(row.session_key)
        if session.get("_auth_user_id") == str(person.pk):
            for record in session["account_authentication_methods"]:
                record["at"] -= seconds
            session.modified = True
            session.save()
            moved += 1
    return moved


def forget_factors(name: str) -> int:
    """Second factors of this person are asked for at every sign-in from then on; other tests sign in without."""
    from allauth.mfa.models import Authenticator

    return int(Authenticator.objects.filter(user__name=name).delete()[0])


def approve_only(request_id: int) -> int:
    from accounts.models import User
    from approvals.models import PromotionRequest
    from tests.support.factories import approve

    people = [User.objects.get(name=name) for name, role in PEOPLE if role == "reviewer"]
    return int(approve(PromotionRequest.objects.get(pk=request_id), *people).pk)


def deliver_and_die(deaths: list[tuple[int, str, int]]) -> list[int]:
    """Delivers each request in a process of its own, all at once; returns how each ended, as `Popen.returncode` says
    it. They are forks: to start ten and import MLflow in each would take a minute of processor time."""
    from django.db import connections

    from mirror import connect

    connect.connect()  # imports MLflow
    connections.close_all()
    dying = []
    for death in deaths:
        pid = os.fork()
        if not pid:
            signal.alarm(180)
            try:
                _deliver_and_die(*death)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        dying.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in dying]


def _deliver_and_die(request_id: int, after: str, times: int) -> None:
    """Delivers, and is killed with SIGKILL right after the n-th call of the method on the real registry returned.

    `settle` is the commit of our own transaction; `claim` is before anything is asked.
    """
    from approvals import delivery
    from approvals.models import OutboxEntry
    from approvals.workflow import outbox
    from mirror import connect

    real = connect.connect()
    left = times

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    class Dying:
        def __getattr__(self, name: str) -> Any:
            if after == "claim":
                die()
            method = getattr(real, name)
            if not callable(method):
                return method  # such as the name of the workspace

            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                result = method(*args, **kwargs)
                if name == after:
                    left -= 1
                    if left == 0:
                        die()
                return result

            return call

    if after == "settle":
        outbox.hint_next_delivery = lambda entry: die()  # the first thing after the commit
    dying: Any = Dying()
    delivery.deliver(OutboxEntry.objects.open().get(request_id=request_id).pk, dying)


def incident_of(model: str) -> int:
    """The newest incident of the model; 0 while there is none."""
    from approvals.models import Incident

    found = Incident.objects.filter(model_name=model).order_by("-pk").values_list("pk", flat=True).first()
    return int(found or 0)


def provisional_request(model: str, number: int) -> int:
    """Approved under a policy that puts it on probation."""
    from approvals.models import Target
    from approvals.policy import ProbationRule
    from tests.support.factories import make_policy

    make_policy(model, Target.objects.get(name="Production"), (2, None), on_record=True, probation=ProbationRule(24))
    return approved_request(model, number)


def vigilant_policy(model: str) -> int:
    """Two approvals, and what is changed outside the gate is put back."""
    from approvals.models import Target
    from approvals.policy import OnBypass
    from tests.support.factories import make_policy

    return int(
        make_policy(
            model, Target.objects.get(name="Production"), (2, None), on_record=True, on_bypass=OnBypass.PUT_BACK
        ).pk
    )


def state(request_id: int) -> dict[str, Any]:
    from approvals.models import AuditEvent, PromotionRequest

    request = PromotionRequest.objects.get(pk=request_id)
    actions = AuditEvent.objects.filter(request=request).order_by("sequence").values_list("action", flat=True)
    return {
        "status": request.status,
        "reason": request.status_reason,
        "actions": list(actions),
        "outcomes": list(request.outbox_entries.order_by("pk").values_list("outcome", flat=True)),
        "waiting": request.outbox_entries.filter(closed_at=None, waiting_since__isnull=False).exists(),
    }


def verify() -> dict[str, Any]:
    from approvals import ledger

    verdict = ledger.verify()
    return {"events": verdict.events, "problem": verdict.problem}


def mirrored(model: str) -> dict[str, str]:
    """Number to stage of the versions whose run has been read, too: before that nobody can ask for them."""
    from mirror.models import ModelVersion

    found = ModelVersion.objects.filter(model__name=model)
    return {str(each.number): each.stage for each in found if not each.run_id or each.facts_at}


def to_look_at(model: str) -> int:
    """Each version has a curve, and a figure of its own colour; returns how many versions there are."""
    from mirror.models import ModelVersion
    from tests.support.factories import make_exhibit, make_inspection, png

    found = ModelVersion.objects.filter(model__name=model)
    for version in found:
        loss = [[step, f"{1 / (step + version.number):.5f}"] for step in range(200)]
        make_inspection(version, curves={"loss": loss})
        make_exhibit(version, "figures/roc.png", png(version.number * 80, side=64))
    return len(found)


if __name__ == "__main__":
    main(globals())
