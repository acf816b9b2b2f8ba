"""What happened in a filled registry: its ledger, event by event, and what follows from the events elsewhere."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from types import SimpleNamespace

from approvals import evidence, ledger
from approvals.models.defaults import GENESIS
from bench.bulk import Values
from bench.frozen import Frozen
from bench.payloads import Draft, Payloads, People
from bench.planned import DAYS, INCIDENT_EVERY, LIFE, PLACES, Asked, Model, made_at


class Story:
    """`events` writes it; then the other lists have what follows."""

    def __init__(
        self,
        models: Sequence[Model],
        requests: Sequence[Asked],
        people: People,
        frozen: Frozen,
        rule: Values,
        now: datetime,
    ) -> None:
        self._models, self._requests, self._people, self._frozen, self._rule = models, requests, people, frozen, rule
        self._now, self._begins = now, now - timedelta(days=DAYS)
        self._tenure_ids = count(1)
        self.tenures: list[Values] = []
        self.incidents: list[Values] = []
        self.notices: list[Values] = []
        self.comments: list[Values] = []
        self.head = (0, "")

    def events(self) -> Iterator[Values]:
        """One after the other in time and in the chain; what they mean for other tables is noted on the way."""
        total = 2 * len(self._models) + sum(each.events for each in self._requests)
        step = timedelta(days=DAYS) / (total + 1)
        previous, sequence = GENESIS, 0
        for sequence, draft in enumerate(self._story(), 1):
            at = self._begins + step * sequence
            row = {
                "sequence": sequence,
                "at": at,
                "action": draft.action,
                "actor_id": draft.actor,
                "stored_actor": self._people.tokens.get(draft.actor, ledger.WORKER),
                "stored_allowed_by": draft.allowed_by,
                "model_name": draft.model.name,
                "version_number": draft.number,
                "target_name": "Production",
                "request_id": draft.asked.pk if draft.asked else None,
                "correlation_id": draft.asked.correlation if draft.asked else uuid.UUID(int=sequence),
                "payload": draft.payload,
                "previous_hash": previous,
            }
            row["hash"] = previous = ledger.digest(SimpleNamespace(**row))  # type: ignore[arg-type]
            self._follow(draft, sequence, at)
            yield row
        self.head = (sequence, previous)
        for model in self._models:
            self.tenures += model.open_tenures

    def _story(self) -> Iterator["Draft"]:
        payloads = Payloads(self._rule, self._people.tokens)
        for model in self._models:
            for place in PLACES:
                yield Draft("tenure.found", None, model, model.holder, payload=payloads.found[place])
        both = f"{self._people.tokens[self._people.lee.pk]}\n{self._people.tokens[self._people.kim.pk]}"
        for asked in self._requests:
            if not asked.is_open:
                asked.champion = asked.model.holder
                asked.fingerprint = evidence.fingerprint(self._frozen.of(asked))
            draft = partial(Draft, model=asked.model, number=asked.number, asked=asked)
            create = draft("request.created", self._people.pat.pk, payload=payloads.of("request.created", asked))
            check = draft("request.checked", None, payload=payloads.of("request.checked", asked))
            comment = draft("request.commented", self._people.lee.pk, payload=payloads.of("request.commented", asked))
            if asked.is_open:
                yield from (create, check, *[comment] * (asked.events - 2))
                continue
            left = asked.events
            while left >= LIFE:
                left -= LIFE
                extra = left if left < LIFE else 0
                yield from (create, check, comment)
                if asked.status == "applied":
                    for action, actor, allowed_by in (
                        ("review.approved", self._people.lee.pk, ""),
                        ("review.approved", self._people.kim.pk, ""),
                        ("request.approved", self._people.kim.pk, both),
                        ("version.promoted", None, both),
                        ("version.replaced", None, both),
                    ):
                        yield draft(action, actor, allowed_by=allowed_by, payload=payloads.of(action, asked))
                else:
                    action, actor = {
                        "rejected": ("review.rejected", self._people.lee.pk),
                        "withdrawn": ("request.withdrawn", self._people.pat.pk),
                    }[asked.status]
                    yield from (comment, comment, comment, comment)
                    yield draft(action, actor, payload=payloads.of(action, asked))
                if extra >= 2 and asked.pk % INCIDENT_EVERY == 0:
                    extra -= 2
                    for action, actor in (("incident.opened", None), ("incident.resolved", self._people.lee.pk)):
                        yield draft(action, actor, payload=payloads.of(action, asked))
                yield from [comment] * extra

    def _follow(self, draft: "Draft", sequence: int, at: datetime) -> None:
        asked, model = draft.asked, draft.model
        if asked is None:
            place = PLACES[len(model.open_tenures)]
            model.open_tenures.append(self._tenure(model, model.holder, place, "found", at, sequence, None))
            return
        match draft.action:
            case "request.created":
                asked.created_at = asked.created_at or at
            case "request.checked" if asked.is_open:
                for person in (self._people.lee, self._people.kim, self._people.bench):
                    self._notify(asked, sequence, at, "waits", person.pk, is_read=False)
            case "request.commented" if not asked.is_commented:
                asked.is_commented = True
                self.comments.append(
                    {"id": len(self.comments) + 1, "request_id": asked.pk, "author_id": draft.actor, "created_at": at}
                )
            case "review.approved" if len(asked.approvals) < 2:
                asked.approvals.append((draft.actor, at))
            case "version.promoted":
                for tenure in model.open_tenures:
                    self.tenures.append(tenure | {"ended_at": at, "end_sequence": sequence, "end": "replaced"})
                model.holder = asked.number
                model.open_tenures = [
                    self._tenure(model, asked.number, place, "delivery", at, sequence, asked.pk) for place in PLACES
                ]
                if asked.closed_at is None:
                    for person in (self._people.pat, self._people.bench):
                        self._notify(asked, sequence, at, "delivered", person.pk, is_read=True)
                asked.closed_at = asked.closed_at or at
            case "review.rejected" | "request.withdrawn":
                asked.closed_at = asked.closed_at or at
            case "incident.opened":
                self.incidents.append(self._incident(asked, sequence, at))

    def _tenure(
        self, model: Model, number: int, place: str, origin: str, at: datetime, sequence: int, request: int | None
    ) -> Values:
        return {
            "id": next(self._tenure_ids),
            "model_name": model.name,
            "version_number": number,
            "place": place,
            "origin": origin,
            "started_at": at,
            "request_id": request,
            "start_sequence": sequence,
            "version_created_at": made_at(self._begins, number),
            "files_checked_at": self._now,
        }

    def _notify(self, asked: Asked, sequence: int, at: datetime, kind: str, person: int, *, is_read: bool) -> None:
        self.notices.append(
            {
                "id": len(self.notices) + 1,
                "key": f"{sequence}/{kind}/{person}",
                "recipient_id": person,
                "kind": kind,
                "request_id": asked.pk,
                "event_id": sequence,
                "created_at": at,
                "due_at": at,
                "sent_at": at,
                "read_at": at if is_read else None,
            }
        )

    def _incident(self, asked: Asked, sequence: int, at: datetime) -> Values:
        return {
            "id": len(self.incidents) + 1,
            "model_name": asked.model.name,
            "before": [asked.number],
            "after": [asked.champion],
            "seen_at": at,
            "not_before": at - timedelta(minutes=5),
            "opened_sequence": sequence,
            "resolved_at": at + timedelta(seconds=1),
            "resolved_by_id": self._people.lee.pk,
            "resolution": "explained",
            "reason": "A repair that was agreed on.",
        }
