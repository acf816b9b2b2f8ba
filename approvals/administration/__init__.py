"""The administrators' verbs: targets, policies, freezes, people and groups. Each checks the permission and records an
event.

The page, the view and the verb all ask `may`, so a refused action carries the same reason everywhere.
"""

from approvals.administration.checkpoints import (
    ask_to_verify,
    checkpoint_if_due,
    take_checkpoint,
    verify_if_due,
)
from approvals.administration.freezes import retire_freeze, save_freeze
from approvals.administration.importing import Imported, import_history
from approvals.administration.model_metrics import save_model_metrics
from approvals.administration.people import (
    add_group,
    create_person,
    invite,
    record_evidence,
    record_export,
    set_active,
    set_groups,
    set_person,
)
from approvals.administration.policies import (
    describe_policy,
    move_policy,
    place,
    put_in_order,
    reorder_policies,
    retire_policy,
    save_policy,
)
from approvals.administration.pseudonyms import hindrances, names_of, pseudonymise
from approvals.administration.shared import (
    CHECKPOINT,
    COMMAND_LINE,
    EXPORT,
    HISTORY,
    IMPORT,
    PEOPLE,
    POLICIES,
    REASONS,
    may,
)
from approvals.administration.standstills import (
    CUT_LEDGER,
    DELETIONS,
    REGISTRY,
    STANDSTILLS,
    Standstill,
    end_standstill,
)
from approvals.administration.targets import retire_target, save_target

__all__ = [
    "CHECKPOINT",
    "COMMAND_LINE",
    "CUT_LEDGER",
    "DELETIONS",
    "EXPORT",
    "HISTORY",
    "IMPORT",
    "PEOPLE",
    "POLICIES",
    "REASONS",
    "REGISTRY",
    "STANDSTILLS",
    "Imported",
    "Standstill",
    "add_group",
    "ask_to_verify",
    "checkpoint_if_due",
    "create_person",
    "describe_policy",
    "end_standstill",
    "hindrances",
    "import_history",
    "invite",
    "may",
    "move_policy",
    "names_of",
    "place",
    "pseudonymise",
    "put_in_order",
    "record_evidence",
    "record_export",
    "reorder_policies",
    "retire_freeze",
    "retire_policy",
    "retire_target",
    "save_freeze",
    "save_model_metrics",
    "save_policy",
    "save_target",
    "set_active",
    "set_groups",
    "set_person",
    "take_checkpoint",
    "verify_if_due",
]
