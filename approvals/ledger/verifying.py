"""The whole proof, in order: the chain, then what stands outside it. It ends with the first thing that does not fit."""

from approvals.ledger import chain
from approvals.ledger.verdicts import Verdict


def verify(progress: chain.Progress = chain.quiet) -> Verdict:
    """Reads the whole chain in order and names the first row that does not fit. Memory stays bounded.

    `progress` is called with the number of events verified so far, once per thousand.
    """
    reached, fault = chain.verify(progress=progress)
    if fault:
        return Verdict(reached.sequence, fault.problem, fault.sequence)
    return Verdict(reached.sequence)
