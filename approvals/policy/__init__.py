"""Which policy applies, what it asks, who may do what and why not, and what is still missing. Pure: no database, no
clock.

The page, the view and the verb all ask the same functions, so they cannot disagree. `rules` is the policy document,
`precedence` picks one, `slots` counts approvals, `actions` says what is open to a person.
"""

from approvals.policy.actions import YES, Actor, Answer, RequestFacts, available_actions, may_request, no
from approvals.policy.precedence import applicable, covers, matches, specificity
from approvals.policy.rules import (
    ALWAYS_SEEN,
    EVERYTHING,
    FALLBACK,
    PARTS,
    CheckRule,
    Effect,
    Meaning,
    Proof,
    ReminderRule,
    Rule,
    SignatureRule,
    SlotRule,
    problems_of,
)
from approvals.policy.slots import (
    Reviewer,
    SlotState,
    assign,
    excluded,
    is_met,
    shortage,
    slot_states,
    still_counts,
    still_needed,
    waits_for,
)

__all__ = [
    "ALWAYS_SEEN",
    "EVERYTHING",
    "FALLBACK",
    "PARTS",
    "YES",
    "Actor",
    "Answer",
    "CheckRule",
    "Effect",
    "Meaning",
    "Proof",
    "ReminderRule",
    "RequestFacts",
    "Reviewer",
    "Rule",
    "SignatureRule",
    "SlotRule",
    "SlotState",
    "applicable",
    "assign",
    "available_actions",
    "covers",
    "excluded",
    "is_met",
    "matches",
    "may_request",
    "no",
    "problems_of",
    "shortage",
    "slot_states",
    "specificity",
    "still_counts",
    "still_needed",
    "waits_for",
]
