"""A short real history for the tests of the ledger's proof: two promotions of one model, asked, approved and delivered
to the fake registry, with checkpoints in between."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.models import User
from approvals import administration, assessment, delivery
from approvals.models import AuditEvent, OutboxEntry, PromotionRequest, Target
from approvals.selectors import history
from mirror import sync
from mirror.models import ModelVersion
from tests.support.factories import approve, make_request
from tests.support.fakes import FakeRegistry

MODEL = "churn_predictor"
SEED, OTHER_SEED = bytes(range(32)), bytes(range(1, 33))


@dataclass
class History:
    registry: FakeRegistry
    requests: list[PromotionRequest] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)
    """What somebody kept elsewhere."""

    def kept(self, folder: Path) -> Path:
        path = folder / "checkpoints.txt"
        path.write_text("\n".join(self.checkpoints), encoding="utf-8")
        return path


def promote(registry: FakeRegistry, number: int, target: Target, *, by: User, people: list[User]) -> PromotionRequest:
    version = ModelVersion.objects.select_related("model").get(model__name=MODEL, number=number)
    request = make_request(version, target, by=by, is_checked=False)
    assert assessment.assess(request.pk, registry) == "concluded"
    request.refresh_from_db()
    approve(request, *people)
    entry = request.outbox_entries.latest("pk")
    OutboxEntry.objects.filter(pk=entry.pk).update(available_at=timezone.now())
    assert delivery.deliver(entry.pk, registry) == "applied"
    sync.sweep(registry)
    request.refresh_from_db()
    return request


def make(target: Target, settings: Any, *, by: User, people: list[User]) -> History:
    settings.CHECKPOINT_KEY = SEED
    registry = FakeRegistry(limit=5000)
    for number in (1, 2):
        run_id = registry.log_run({"auc_roc": 0.9 + number / 100}, {"max_depth": str(number)})
        registry.create_version(MODEL, run_id=run_id, description="Trained.")
    sync.sweep(registry)
    made = History(registry)
    for number in (1, 2):
        made.requests.append(promote(registry, number, target, by=by, people=people))
        made.checkpoints.append(administration.take_checkpoint(by=None).text)
    return made


def export(folder: Path, *, ending: str = "jsonl", **filters: Any) -> Path:
    """What the page would stream."""
    lines = {"jsonl": history.json_lines, "csv": history.csv_lines}[ending]
    path = folder / f"export.{ending}"
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(lines(AuditEvent.objects.filter(**filters)))
    return path


def base64_of(seed: bytes) -> str:
    return base64.b64encode(seed).decode()
