"""The whole proof, in order: the chain, heads that were kept elsewhere, and the tables beside the ledger. It ends with
the first thing that does not fit."""

from collections.abc import Callable, Iterable
from itertools import chain as all_of

from approvals.ledger import anchors, chain, references
from approvals.ledger.verdicts import Verdict


def verify(
    progress: chain.Progress = chain.quiet,
    *,
    with_references: bool = False,
    with_anchors: bool = False,
    checkpoints: Iterable[str] = (),
    doing: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Reads the whole chain in order and names the first row that does not fit. Memory stays bounded.

    `with_references` holds requests, reviews, tenures and people against it; `with_anchors` the checkpoints and the
    tags in MLflow that this installation knows of; `checkpoints` are texts of signed notes that were kept elsewhere.
    `progress` is called with the number of events verified so far, once per thousand; `doing` with what is looked at.
    """
    remarks: list[str] = []
    doing("the chain")
    # The chain first: what else is held against events says nothing while they are in doubt.
    reached, fault = chain.verify(progress=progress)
    if fault is None and (with_anchors or checkpoints):
        doing("checkpoints and tags in MLflow")
        own = all_of(anchors.of_table(), anchors.of_tags()) if with_anchors else ()
        fault = anchors.first_fault(all_of(anchors.of_texts(checkpoints), own), reached)
    if fault is None and with_references:
        fault = references.verify(doing, remarks=remarks)
    if fault:
        return Verdict(reached.sequence, fault.problem, fault.sequence)
    return Verdict(reached.sequence, head=reached.hash, remarks=tuple(remarks))
