"""Notices when the gate is walked round: compares what MLflow says (the mirror) with what deliveries made
(the tenures).

    baseline → look → follow → restore → files

`baseline` takes what is there on the first look for held before Countersign. `detection` finds what differs and no
delivery explains, `classification` writes it down: tenures, an incident, one event. `closing` ends incidents that are
over, and sees what became of a review that was asked for afterwards. `restoring` puts back what the policy wants put
back: beside delivery the only thing that writes to MLflow. `file_checks` reads the files of what is in place once more,
`wording` says it all in sentences, `cycle` runs it. Called by `approvals.tasks` and tests with a registry, and by the
pages without one.
"""

from approvals.watch.background import approved_holders, related_requests
from approvals.watch.closing import follow
from approvals.watch.cycle import compare, put_back, run
from approvals.watch.detection import look
from approvals.watch.file_checks import check_files
from approvals.watch.incidents import may_resolve, request_of, resolve
from approvals.watch.restoring import restore, restore_due

__all__ = [
    "approved_holders",
    "check_files",
    "compare",
    "follow",
    "look",
    "may_resolve",
    "put_back",
    "related_requests",
    "request_of",
    "resolve",
    "restore",
    "restore_due",
    "run",
]
