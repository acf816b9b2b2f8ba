"""A short real history for the tests of the ledger's proof: two promotions of one model, asked, approved and delivered
to the fake registry, with checkpoints in between."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accounts.models import User
from approvals import administration
from approvals.models import AuditEvent, PromotionRequest, Target
from approvals.selectors import history
from mirror import sync
from tests.support.fakes import FakeRegistry
from tests.support.world import make_registry, promote

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


def make(target: Target, settings: Any, *, by: User, people: list[User]) -> History:
    settings.CHECKPOINT_KEY = SEED
    registry = make_registry(versions=2)
    made = History(registry)
    for number in (1, 2):
        made.requests.append(promote(registry, number, target, by=by, approvers=tuple(people)))
        sync.sweep(registry)
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
