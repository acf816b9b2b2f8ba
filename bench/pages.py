"""Rows: every page at 100,000 versions, 20,000 requests and 200,000 events, against an empty installation's same
page."""

import json
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from bench.report import Row, medians

ROUNDS = 15
CEILING_MS = 60
WAITING = 500
"""Requests that wait for a review."""

AUDIT_MS = 2_000
WHOLE_PERIOD = ("audit of everything", "how people review, everything")


def rows(folder: Path, *, versions: int, requests: int, events: int, rounds: int) -> Iterator[Row]:
    empty = _measure(folder / "empty.sqlite3", rounds, versions=0, requests=0, events=0)
    full = _measure(folder / "full.sqlite3", rounds, versions=versions, requests=requests, events=events)
    for page, value in full.items():
        if page in WHOLE_PERIOD:
            # They look at every request or change of a period, here all there are; held to a time, not to an empty one.
            yield Row(f"page {page}", value, AUDIT_MS, bar=1.0)
        else:
            yield Row(f"page {page}", value, empty[page], bar=2.0, ceiling_ms=CEILING_MS)


def _measure(database: Path, rounds: int, **sizes: int) -> dict[str, float]:
    """In a process of its own, because Django knows one database."""
    command = [sys.executable, "-m", "bench.pages", str(database), str(rounds), json.dumps(sizes)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(answer.stdout.splitlines()[-1]))


def main(database: str, rounds: int, sizes: dict[str, int]) -> None:
    import os

    import django

    os.environ["DATABASE_URL"] = f"sqlite:///{database}"
    django.setup()
    from django.core.management import call_command

    is_new = not Path(database).exists()
    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    if is_new:
        _fill(**sizes)
    from bench.mirror import signed_in_client
    from mirror.models import MirrorState

    MirrorState.objects.update_or_create(pk=1, defaults={"pulled_at": timezone.now(), "swept_at": timezone.now()})
    client = signed_in_client()

    def get(path: str) -> None:
        answer = client.get(path)
        b"".join(answer) if answer.streaming else answer.content
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status_code}.")

    paths = _paths(client)
    found = medians(*[lambda path=path: get(path) for path in paths.values()], rounds=rounds)
    print(json.dumps(dict(zip(paths, found, strict=True))))


def _paths(client: Any) -> dict[str, str]:
    """The same pages in both installations; the empty one has one model, two versions and one request."""
    from approvals.models import AuditEvent, PromotionRequest, Tenure

    request = PromotionRequest.objects.order_by("pk").last()
    event = AuditEvent.objects.order_by("sequence").last()
    tenure = Tenure.objects.order_by("started_at", "pk").first()
    if request is None or event is None or tenure is None:
        raise RuntimeError("There is no request to look at.")
    version = request.version
    begun = f"{tenure.started_at + timedelta(days=100):%Y-%m-%dT%H:%M}"
    return {
        "overview": "/overview/",
        "overview, worst state first": "/overview/?sort=state",
        "overview, outside approval": "/overview/?state=outside",
        "inbox": "/",
        "inbox, by risk": "/?sort=risk",
        "inbox, decided": "/?tab=decided",
        "review queue": "/queue/",
        "review queue, by risk": f"/queue/{request.pk}/?sort=risk",
        "models": "/models/",
        "models, last page": "/models/?page=last",
        "model": version.model.get_absolute_url(),
        "version": version.get_absolute_url(),
        "new request": f"{version.get_absolute_url()}promote/",
        "request": request.get_absolute_url(),
        "history": "/history/",
        "history of a model": f"/history/?model={version.model.name}",
        "history of a person": f"/history/?person={request.requester_id}",
        "event": event.get_absolute_url(),
        "time travel": "/history/at/",
        "time travel, long ago": f"/history/at/?at={begun}",
        "time travel, last page": f"/history/at/?at={begun}&page=999999",
        "time travel of a model": f"/history/at/?model={version.model.name}&span=all",
        "time travel, part of a name": f"/history/at/?model=_0&at={begun}",
        "ledger": "/history/ledger/",
        "policies": "/policies/",
        "people": "/people/",
        "search": f"/search/?q={version.model.name[:5]}",
        "audit of everything": "/history/audit/?since=2020-01-01",
        "how people review, everything": "/history/audit/reviews/?since=2020-01-01",
        "audit, who can approve what": "/history/audit/access/",
        "system": "/system/",
        "readyz": "/readyz",
    }


def _fill(*, versions: int, requests: int, events: int) -> None:
    """Through the ORM in bulk; the events hash-chained, like the real ones."""
    from django.db import connection, transaction

    from accounts.models import User
    from approvals import evidence, ledger, policy
    from approvals.ledger import pseudonyms
    from approvals.models import Action, AuditEvent, ChainHead, PromotionRequest, Status, Target, defaults
    from approvals.selectors import rules
    from mirror.models import Alias, ModelVersion, RegisteredModel
    from tests.support.factories import make_person

    random.seed(7)
    each = 50 if versions else 2
    now = timezone.now()
    people: list[User] = [
        make_person("Pat Requester", "requester"),
        make_person("Lee Reviewer", "reviewer"),
        make_person("Kim Reviewer", "reviewer"),
    ]
    models = RegisteredModel.objects.bulk_create(
        RegisteredModel(name=f"model_{number:05}", created_at=now, last_updated_at=now)
        for number in range(max(versions // each, 1))
    )
    with transaction.atomic():
        ModelVersion.objects.bulk_create(
            (
                ModelVersion(
                    model=model,
                    number=number,
                    stage="Production" if number == each - 1 else "None",
                    metrics={"auc_roc": 0.8 + random.random() / 10, "ndcg": random.random()},
                    params={"max_depth": str(number)},
                    tags={"training_cutoff": "2026-10-31"},
                    created_at=now - timedelta(minutes=number),
                    last_updated_at=now,
                    facts_at=now,
                )
                for model in models
                for number in range(1, each + 1)
            ),
            batch_size=2000,
        )
        Alias.objects.bulk_create(Alias(model=model, name="champion", number=each - 1) for model in models)
    target = Target.objects.get(name="Production")
    rule = rules.rule_for("model_00000", target)
    newest = list(
        ModelVersion.objects.filter(number__gte=each - 10 if versions else each).select_related("model").order_by("pk")
    )
    statuses = [Status.APPLIED] * 8 + [Status.REJECTED] + [Status.WITHDRAWN]
    made = []
    for index in range(max(requests, 1)):
        version = newest[index % len(newest)]
        is_open = requests == 0 or index >= requests - WAITING
        status = Status.PENDING if is_open else statuses[index % len(statuses)]
        frozen = evidence.freeze(version=version, champion=None, target=target, rule=rule, justification="Better.")
        at = now - timedelta(minutes=requests - index)
        made.append(
            PromotionRequest(
                version=version,
                target=target,
                requester=people[0],
                justification="Better.",
                status=status,
                rule=rule.as_json(),
                evidence=frozen,
                fingerprint=evidence.fingerprint(frozen),
                waits_for=policy.waits_for(policy.slot_states(rule, approvers=[], eligible=[])) if is_open else "",
                correlation_id=uuid.uuid4(),
                created_at=at,
                expires_at=now + timedelta(days=14),
                decided_at=at if status in (Status.APPLIED, Status.REJECTED) else None,
                closed_at=None if is_open else at,
            )
        )
    made = PromotionRequest.objects.bulk_create(made, batch_size=1000)
    _fill_reviews(made, people, target)
    actions = [
        Action.REQUEST_CREATED,
        Action.REVIEW_APPROVED,
        Action.REVIEW_APPROVED,
        Action.REQUEST_APPROVED,
        Action.VERSION_PROMOTED,
    ]
    tokens = {person.pk: pseudonyms.tokenised(person.label, known=[person]) for person in people}
    previous, batch, total = defaults.GENESIS, [], max(events, 5)
    with transaction.atomic():
        with connection.cursor() as cursor:
            # They let the chain grow by one event at a time; here it is set to its end in one go.
            for trigger in ("ledger_no_forgery", "ledger_head_forward"):
                cursor.execute(f"DROP TRIGGER {trigger}")
        for sequence in range(1, total + 1):
            request = made[(sequence * len(made)) // (total + 1)]
            actor = people[sequence % 3]
            event = AuditEvent(
                sequence=sequence,
                at=now - timedelta(seconds=total - sequence),
                action=actions[sequence % 5],
                actor=actor,
                stored_actor=tokens[actor.pk],
                model_name=request.version.model.name,
                version_number=request.version.number,
                target_name="Production",
                request=request,
                correlation_id=request.correlation_id,
                payload=evidence.canonical({"comment": "Looks good."}),
                previous_hash=previous,
            )
            event.hash = previous = ledger.digest(event)
            batch.append(event)
            if len(batch) == 2000 or sequence == total:
                AuditEvent.objects.bulk_create(batch)
                batch = []
        ChainHead.objects.filter(pk=1).update(sequence=total, hash=previous)
    _fill_tenures(target)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _fill_reviews(made: list[Any], people: list[Any], target: Any) -> None:
    """An approval with its time on page for each request that was applied."""
    from approvals.models import Reading, Review, Status

    applied = [each for each in made if each.status == Status.APPLIED]
    pairs = [(each, people[1 + index % 2], each.created_at) for index, each in enumerate(applied)]
    Review.objects.bulk_create(
        (
            Review(
                request=request,
                reviewer=person,
                requester_id=request.requester_id,
                verdict="approve",
                fingerprint=request.fingerprint,
                created_at=at + timedelta(minutes=random.randint(1, 900)),
            )
            for request, person, at in pairs
        ),
        batch_size=2000,
    )
    Reading.objects.bulk_create(
        (
            Reading(request=request, person=person, fingerprint=request.fingerprint, opened_at=at)
            for request, person, at in pairs
        ),
        batch_size=2000,
    )


def _fill_tenures(target: Any) -> None:
    """Each promotion of a model ends the one before it."""
    from approvals.models import Action, AuditEvent, Tenure

    promoted = AuditEvent.objects.filter(action=Action.VERSION_PROMOTED).order_by("sequence")
    following: dict[str, Any] = {}
    rows = []
    for event in promoted.reverse().iterator():
        after = following.get(event.model_name)
        rows.append(
            Tenure(
                model_name=event.model_name,
                version_number=event.version_number,
                target=target,
                place="Production",
                origin="delivery",
                started_at=event.at,
                start_sequence=event.sequence,
                request_id=event.request_id,
                ended_at=after.at if after else None,
                end_sequence=after.sequence if after else None,
                end="replaced" if after else "",
            )
        )
        following[event.model_name] = event
    Tenure.objects.bulk_create(rows, batch_size=2000)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
