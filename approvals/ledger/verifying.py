"""The whole proof, in order: the chain, heads that were kept elsewhere, and the tables beside the ledger. It ends with
the first thing that does not fit."""

from collections.abc import Callable, Iterable
from itertools import chain as all_of
from typing import Any

from approvals.ledger import anchors, chain, references
from approvals.ledger.verdicts import Verdict


def verify(
    progress: chain.Progress = chain.quiet,
    *,
    with_references: bool = False,
    with_anchors: bool = False,
    checkpoints: Iterable[str] = (),
    doing: Callable[[str], None] = lambda _: None,
    since: chain.Link = chain.BEGINNING,
    first_pass: bool = False,
) -> Verdict:
    """Reads the whole chain in order and names the first row that does not fit. Memory stays bounded.

    `since` is an event that is taken as given, from a checkpoint whose signature is trusted: what lies before it is not
    read again. `first_pass` lets the database hash where it can (`chain.verify`); the verdict says whether it did.

    `with_references` holds requests, reviews, tenures and people against it; `with_anchors` the checkpoints and the
    tags in MLflow that this installation knows of; `checkpoints` are texts of signed notes that were kept elsewhere.
    `progress` is called with the number of events verified so far, once per thousand; `doing` with what is looked at.
    """
    remarks: list[str] = []
    doing("the chain")
    # The chain first: what else is held against events says nothing while they are in doubt.
    in_database = first_pass and chain.can_hash_in_database(since)
    reached, fault = chain.verify(since, progress, in_database=in_database)
    if fault is None and (with_anchors or checkpoints):
        doing("checkpoints and tags in MLflow")
        own = all_of(anchors.of_table(), anchors.of_tags()) if with_anchors else ()
        fault = anchors.first_fault(all_of(anchors.of_texts(checkpoints), own), reached)
    if fault is None and with_references:
        fault = references.verify(doing, remarks=remarks)
    said: dict[str, Any] = {"since": since.sequence, "in_database": in_database}
    if fault:
        return Verdict(reached.sequence, fault.problem, fault.sequence, **said)
    return Verdict(reached.sequence, head=reached.hash, remarks=tuple(remarks), **said)
