"""Promotions while others pull, sweep and watch, on the fake registry and on a real one."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection

from accounts.models import User
from approvals import assessment, delivery, watch, workflow
from approvals.models import Incident, PromotionRequest, Status, Target, Tenure
from mirror import sync
from tests.support.factories import make_person
from tests.support.world import answered_by, observe, running, version


def race(registry: Any, engineer: Any, models: list[str], *, versions: int) -> None:
    """Promotes version after version of each model while others pull, sweep and watch without a pause: not one
    incident may come of it. For a database with real commits."""
    for model in models:
        for _ in range(versions):
            engineer.create_version(model, run_id=engineer.log_run({"auc_roc": 0.9}))
        registry.set_stage(model, 1, "Production", archive_existing=False)
        registry.set_alias(model, "champion", 1)
    sync.sweep(registry)
    assert watch.look(registry).found == 0
    rita, remy = make_person("Rita Sanz", "requester"), make_person("Remy Ortiz", "reviewer")
    production = Target.objects.get(name="Production")
    answered_by("report", production)
    over = threading.Event()
    problems: list[BaseException] = []

    def thread(call: Callable[[], object], *, is_repeated: bool) -> threading.Thread:
        def run() -> None:
            try:
                while not over.is_set():
                    call()
                    if not is_repeated:
                        return
                    time.sleep(0.002)
            except BaseException as error:
                problems.append(error)
                raise
            finally:
                if not is_repeated:
                    over.set()
                connection.close()

        return threading.Thread(target=run)

    def promote() -> None:
        for number in range(2, versions + 1):
            for model in models:
                asked = workflow.request_promotion(version(number, model), production, by=rita, justification="Better.")
                _see_through(asked, registry, remy)

    repeated = [lambda: sync.pull(registry), lambda: sync.sweep(registry), lambda: watch.run(registry)]
    threads = [thread(promote, is_repeated=False), *(thread(call, is_repeated=True) for call in repeated)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(300)
    assert problems == []
    assert observe(registry) == 0
    told = [(each.model_name, each.place, each.before, each.after, each.details) for each in Incident.objects.all()]
    assert told == []
    for model in models:
        assert running("Production", model) == running("@champion", model) == {versions: Tenure.Origin.DELIVERY}
        promoted = Tenure.objects.filter(model_name=model, place="Production", origin=Tenure.Origin.DELIVERY)
        assert promoted.count() == versions - 1


def _see_through(request: PromotionRequest, registry: Any, by: User) -> None:
    """Reviews and delivers; what another thread changed in the mirror meanwhile is looked at again, as people would."""
    for _ in range(300):
        assessment.assess(request.pk, registry)
        request.refresh_from_db()
        if request.status == Status.PENDING:
            with contextlib.suppress(workflow.WorkflowError):
                workflow.review(request, by=by, verdict="approve")
        delivery.drain(registry)
        request.refresh_from_db()
        if request.status == Status.APPLIED:
            return
        time.sleep(0.01)
    raise AssertionError(f"{request.status}: {request.status_reason}")
