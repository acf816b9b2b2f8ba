"""Fills a migrated, empty database with a registry that has been promoted in for 300 days: models with their versions,
requests with what people and checks said of them, a ledger whose chain is right, and tenures that fit the mirror.

`python -m bench.filling URL --versions N --requests N --events N` does so with the database at URL.

One life of a request is what the ledger has of a promotion from the question to MLflow. The events of a large ledger
are many lives of one request, and their seals are of the right size, not of the rows: the chain can be verified, and
what verification compares beside it cannot.
"""

import argparse
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from random import Random

from bench import bulk
from bench.bulk import Table, Values
from bench.planned import COMMENT, DAYS, REASON, Sizes, made_at, models_of, plan

BENCH = "bench@example.com"
"""Has every role, and looks at the pages."""

FINDING_EVERY = 40
FEED = '{"serial":1,"places":["stage:Production","alias:champion"],"sealed":[]}'
RUN = {
    "run_id": "",
    "name": "train",
    "status": "FINISHED",
    "user": "ada",
    "experiment_id": "1",
    "started_at": 1_760_000_000_000,
    "ended_at": 1_760_000_900_000,
    "is_deleted": False,
    "tags": {"mlflow.source.name": "train.py", "mlflow.source.git.commit": "c0ffee" * 6 + "c0ff"},
    "datasets": [{"name": "october", "digest": "ab12cd34", "source": "s3://data/october", "context": "training"}],
}


def fill(sizes: Sizes, say: Callable[[str], None] = lambda _: None) -> None:
    """The database must be migrated and have no models yet. `say` hears how many rows of what took how long."""
    World(sizes, say).fill()


class World:
    def __init__(self, sizes: Sizes, say: Callable[[str], None]) -> None:
        from django.contrib.auth.models import Group
        from django.utils import timezone

        from accounts.models import User
        from approvals.ledger import pseudonyms
        from approvals.models import Target
        from approvals.selectors import rules
        from bench.payloads import People
        from tests.support.factories import make_person

        person = partial(make_person, password=None)  # nobody signs in by one, and each takes a third of a second
        self.sizes, self.say, self.random = sizes, say, Random(7)
        self.now = timezone.now()
        self.begins = self.now - timedelta(days=DAYS)
        pat = person("Pat Requester", "requester")
        lee, kim = person("Lee Reviewer", "reviewer"), person("Kim Reviewer", "reviewer")
        bench = User.objects.create_user(email=BENCH, name="Bench")
        bench.groups.set(Group.objects.all())
        tokens = {each.pk: pseudonyms.tokenised(each.label, known=[each]) for each in (pat, lee, kim)}
        self.people = People(pat, lee, kim, bench, tokens)
        self.models = models_of(sizes)
        self.requests = plan(sizes, self.models, self.random)
        self.target = Target.objects.get(name="Production")
        self.rule = rules.rule_for(self.models[0].name, self.target)

    def fill(self) -> None:
        from approvals.models import ChainHead, NotificationState
        from bench.frozen import Frozen
        from bench.story import Story

        tables = []
        with bulk.unguarded():
            for table, rows in self._mirror():
                self._write(table, rows)
                tables.append(table)
            self.frozen = Frozen(self.models, self.requests, self.target, self.rule)
            told = (self.models, self.requests, self.people, self.frozen, self.rule.as_json(), self.now)
            self.story = Story(*told)
            for table, rows in self._ledger():
                self._write(table, rows)
                tables.append(table)
            sequence, last = self.story.head
            ChainHead.objects.update_or_create(pk=1, defaults={"sequence": sequence, "hash": last})
            NotificationState.objects.update_or_create(pk=1, defaults={"sequence": sequence})
        self._have_looked()
        bulk.timed(self.say, "tables analysed", lambda: bulk.settle(tables) or len(tables))

    def _write(self, table: Table, rows: Iterator[Values]) -> None:
        bulk.timed(self.say, str(table.model._meta.verbose_name_plural), partial(table.write, rows))

    # --- The mirror

    def _mirror(self) -> Iterator[tuple[Table, Iterator[Values]]]:
        from mirror.models import Alias, Inspection, ModelVersion, RegisteredModel
        from tests.support.factories import FILES, PACKAGING

        now = self.now
        yield (
            Table(RegisteredModel, read_at=now),
            (
                {
                    "id": model.index + 1,
                    "name": model.name,
                    "tags": {"team": "retention"},
                    "created_at": self.begins - timedelta(days=100),
                    "last_updated_at": now - timedelta(minutes=model.index),
                }
                for model in self.models
            ),
        )
        same = {"tags": {"training_cutoff": "2026-10-31"}, "run": RUN, "read_at": now, "facts_at": now}
        yield Table(ModelVersion, **same), self._versions()
        yield (
            Table(Alias, name="champion"),
            ({"id": model.index + 1, "model_id": model.index + 1, "number": model.champion} for model in self.models),
        )
        seen = {model.version_id(model.champion) for model in self.models}
        seen |= {each.model.version_id(each.number) for each in self.requests}
        files = {"files": FILES, "packaging": PACKAGING, "started_at": self.begins, "inspected_at": self.begins}
        yield (
            Table(Inspection, **files),
            ({"id": index, "version_id": version} for index, version in enumerate(sorted(seen), 1)),
        )

    def _versions(self) -> Iterator[Values]:
        random = self.random.random
        for model in self.models:
            updated = self.now - timedelta(minutes=model.index)
            for number in range(1, model.versions + 1):
                yield {
                    "id": model.version_id(number),
                    "model_id": model.index + 1,
                    "number": number,
                    "stage": "Production" if number == model.champion else "None",
                    "source": f"s3://models/{model.name}/{number}",
                    "run_id": f"{model.index:08x}{number:08x}",
                    "metrics": f'{{"auc_roc": {0.8 + random() / 10:.6f}, "ndcg": {random():.6f}}}',
                    "params": f'{{"max_depth": "{number}"}}',
                    "created_at": made_at(self.begins, number),
                    "last_updated_at": updated - timedelta(seconds=model.versions - number),
                }

    # --- What was asked, and what follows from the events

    def _ledger(self) -> Iterator[tuple[Table, Iterator[Values]]]:
        from approvals import models
        from approvals.models import Incident, Kind

        yield Table(models.AuditEvent), self.story.events()
        yield Table(models.PromotionRequest, **self._of_requests()), self._request_rows()
        yield (
            Table(models.Review, verdict="approve", requester=self.people.pat, parts=self.frozen.parts),
            self._reviews(),
        )
        yield Table(models.Reading), self._readings()
        yield Table(models.Finding, text="Document the sampling.", owner=self.people.lee), self._findings()
        yield Table(models.Comment, body=COMMENT), iter(self.story.comments)
        checked = {"is_owed": False, "attempts": 1}
        yield (
            Table(models.Assessment, **checked),
            (
                {"id": each.pk, "request_id": each.pk, "due_at": each.created_at, "concluded_at": each.created_at}
                for each in self.requests
            ),
        )
        check = {"key": "files", "kind": "files", "title": "Model files are hashed", "reason": "1 file, 3 bytes."}
        yield (
            Table(models.CheckResult, effect="block", outcome="pass", **check),
            (
                {"id": each.pk, "request_id": each.pk, "fingerprint": each.fingerprint, "checked_at": each.created_at}
                for each in self.requests
            ),
        )
        yield (
            Table(models.OutboxEntry, target=self.target, outcome="applied", attempts=1),
            (
                {
                    "id": each.pk,
                    "request_id": each.pk,
                    "model_name": each.model.name,
                    "created_at": each.approvals[-1][1],
                    "available_at": each.approvals[-1][1],
                    "closed_at": each.closed_at,
                }
                for each in self.requests
                if each.status == "applied"
            ),
        )
        yield Table(models.Tenure, target=self.target, files_digest="d" * 64), iter(self.story.tenures)
        yield (
            Table(Incident, kind="moved", response="report", target=self.target, place="Production"),
            iter(self.story.incidents),
        )
        yield (
            Table(models.Notification, kind=Kind.DELIVERED, title="A version reached Production"),
            iter(self.story.notices),
        )

    def _of_requests(self) -> Values:
        return {
            "target": self.target,
            "requester": self.people.pat,
            "justification": REASON,
            "parts": self.frozen.parts,
            "expires_at": self.now + timedelta(days=14),
        }

    def _request_rows(self) -> Iterator[Values]:
        from approvals import evidence, policy

        waits = policy.waits_for(policy.slot_states(self.rule, approvers=[], eligible=[]))
        for each in self.requests:
            frozen = self.frozen.of(each)
            decided = each.approvals[-1][1] if each.approvals else each.closed_at
            row = {
                "id": each.pk,
                "version_id": each.model.version_id(each.number),
                "status": each.status,
                "rule": self.frozen.rule_of(each),
                "evidence": frozen,
                "fingerprint": each.fingerprint,
                "champion_id": each.model.version_id(each.champion),
                "correlation_id": each.correlation,
                "created_at": each.created_at,
                "decided_at": decided if each.status in ("applied", "rejected") else None,
                "closed_at": each.closed_at,
            }
            if each.is_open:
                row |= {"waits_for": waits, "parts": evidence.part_digests(frozen)}
            yield row

    def _reviews(self) -> Iterator[Values]:
        pk = 0
        labels = {each.pk: each.label for each in (self.people.lee, self.people.kim)}
        for asked in self.requests:
            for person, at in asked.approvals:
                pk += 1
                yield {
                    "id": pk,
                    "request_id": asked.pk,
                    "reviewer_id": person,
                    "fingerprint": asked.fingerprint,
                    "signed_name": labels[person],
                    "created_at": at,
                }

    def _readings(self) -> Iterator[Values]:
        pk = 0
        for asked in self.requests:
            for person, at in asked.approvals:
                pk += 1
                opened = at - (at - asked.created_at) * self.random.random()
                yield {
                    "id": pk,
                    "request_id": asked.pk,
                    "person_id": person,
                    "fingerprint": asked.fingerprint,
                    "opened_at": opened,
                }

    def _findings(self) -> Iterator[Values]:
        pk, review = 0, 0
        for asked in self.requests:
            review += len(asked.approvals)
            if asked.pk % FINDING_EVERY or not asked.approvals:
                continue
            pk += 1
            is_open = pk > asked.pk // FINDING_EVERY - 20 and asked.pk > self.sizes.asked - self.sizes.waiting - 1000
            closing = {"closed_at": self.now, "closed_by_id": self.people.lee.pk, "closing_note": "Done."}
            yield {
                "id": pk,
                "review_id": review,
                "due_on": (asked.closed_at + timedelta(days=30)).date().isoformat(),
                "created_at": asked.closed_at,
                **({} if is_open else closing),
            }

    # --- What the periodic tasks know by now

    def _have_looked(self) -> None:
        """The mirror, the watch and the mail have seen all this: they have nothing to do."""
        from approvals.models import PolicyFeed, Target, WatchedPlace, WatchState
        from approvals.tenures import places_of
        from mirror.models import MirrorState

        now, head = self.now, self.story.head[0]
        times = ("pulled_at", "swept_at", "stages_asked_at", "aliases_asked_at")
        MirrorState.objects.update_or_create(pk=1, defaults=dict.fromkeys(times, now) | {"latency_ms": 20.0})
        for target in Target.objects.current():
            for place in places_of(target):
                WatchedPlace.objects.create(target=target, place=place, first_seen_at=self.begins)
        PolicyFeed.objects.create(pk=1, serial=1, text=FEED, signature="bench", key="bench", issued_at=now)
        looks = ("looked_at", "stages_known_at", "aliases_known_at", "witnessed_at")
        WatchState.objects.update_or_create(pk=1, defaults=dict.fromkeys(looks, now) | {"read_sequence": head})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of the database: postgresql://… or sqlite:///…")
    for name in ("versions", "requests", "events"):
        parser.add_argument(f"--{name}", type=int, default=0)
    options = parser.parse_args()
    from bench.environment import set_up

    set_up(database=options.url)
    fill(Sizes(options.versions, options.requests, options.events), say=lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
