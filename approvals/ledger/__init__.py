"""The ledger: `record` appends, `verify` proves. Only workflow, delivery and administration may append.

Each row's hash is SHA-256 over the previous hash and the canonical JSON of the row, from the first row on.
"""

from approvals.ledger.anchors import CHECKPOINT_TAG, HEAD_TAG
from approvals.ledger.chain import Link, Progress, head
from approvals.ledger.recording import WORKER, Entry, Sequel, record, record_many
from approvals.ledger.rows import as_record, digest
from approvals.ledger.verdicts import Fault, Verdict
from approvals.ledger.verifying import verify

__all__ = [
    "CHECKPOINT_TAG",
    "HEAD_TAG",
    "WORKER",
    "Entry",
    "Fault",
    "Link",
    "Progress",
    "Sequel",
    "Verdict",
    "as_record",
    "digest",
    "head",
    "record",
    "record_many",
    "verify",
]
