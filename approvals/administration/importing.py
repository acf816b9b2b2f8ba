"""Earlier history: the accepted rows of a file become tenures that are marked as imported permanently."""

from dataclasses import dataclass
from typing import Any

from accounts.models import User
from approvals import tenures
from approvals.administration.shared import IMPORT, record, require
from approvals.models import Action, AuditEvent, ChainHead, Tenure
from approvals.tenures import importing
from approvals.tenures.importing import Checked
from approvals.workflow import Invalid
from approvals.workflow.verbs import verb

ROWS_PER_EVENT = 500


@dataclass(frozen=True, slots=True)
class Imported:
    accepted: int
    refused: int
    tenures: int


@verb()
def import_history(content: bytes, *, file: str, confirmed: str, by: User | None) -> Imported:
    """Stores what `importing.check` accepts of the file, all in one transaction, with one event for each 500 rows.

    `confirmed` is the SHA-256 of the file whose verdicts were seen. Raises NotAllowed; Invalid when it is another file
    or no row is accepted; importing.BadFile.
    """
    require(by, IMPORT)
    # Everything that begins or ends a tenure waits for the head of the ledger, so none does between check and writing.
    ChainHead.objects.select_for_update().get(pk=1)
    checked = importing.check(content)
    if checked.sha256 != confirmed:
        raise Invalid("This is not the file that was previewed. Preview this one first.")
    accepted = checked.accepted
    if not accepted:
        raise Invalid("No row was accepted, so nothing is imported.")
    made = 0
    parts = range(0, len(accepted), ROWS_PER_EVENT)
    for part, at in enumerate(parts, start=1):
        rows = accepted[at : at + ROWS_PER_EVENT]
        found = importing.as_tenures(rows)
        stored: list[Tenure] = []

        def store(event: AuditEvent, found: Any = found, stored: list[Tenure] = stored) -> list[Tenure]:
            stored += tenures.imported(found, event)
            return stored

        data = _told(checked, file, rows=rows, part=part, parts=len(parts))
        record(Action.HISTORY_IMPORTED, by, data=data, rows=store)
        made += len(stored)
    return Imported(len(accepted), len(checked.rows) - len(accepted), made)


def _told(checked: Checked, file: str, *, rows: list[importing.Row], part: int, parts: int) -> dict[str, object]:
    accepted = len(checked.accepted)
    return {
        "count": len(rows),
        "file": file[:200],
        "sha256": checked.sha256,
        "accepted": accepted,
        "refused": len(checked.rows) - accepted,
        "part": part,
        "parts": parts,
        "rows": [importing.as_data(row) for row in rows],
    }
