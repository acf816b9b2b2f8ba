"""Which columns of which tables the ledger answers for, and why not for the others. Every event keeps what the rows
that it records were left at (`sealing`), and verification holds the rows against that (`sealed`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import Field, Model, QuerySet

from accounts.models import ApiToken, TrustedPublisher, User
from approvals.models import (
    CheckResult,
    Comment,
    Finding,
    FreezeWindow,
    Incident,
    ModelMetrics,
    Nomination,
    OutboxEntry,
    Outcome,
    Policy,
    PolicyVersion,
    Probation,
    PromotionRequest,
    Review,
    Target,
    Tenure,
    Webhook,
)

Row = Mapping[str, Any]
QUEUE = "How the worker gets on with it: changes with every attempt, and nothing is decided on it."
ADDRESS = "A secret that names an address; no page, certificate or archive shows it."


def label_of(model: Model | type[Model]) -> str:
    """`promotionrequest`: what a table is called in seals."""
    return str(model._meta.model_name)  # noqa: SLF001  Django's public name for it


@dataclass(frozen=True, eq=False)
class Table:
    model: type[Model]
    name: str
    """What one row is called in a sentence; `{column}` is filled in."""

    beside: Mapping[str, str] = field(default_factory=dict)
    """Columns that no seal has, each with the reason."""

    elsewhere: frozenset[str] = frozenset()
    """Columns that no seal has, because another part of the proof holds them."""

    shown: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    """Columns of which only a part is kept: what of the value."""

    personal: frozenset[str] = frozenset()
    """Columns with people's names (one label, or a list of names): kept as tokens, so that they can be erased."""

    may_be_gone: Callable[[Any], bool] = lambda _: False
    """Whether a row of which the newest seal kept this may have been taken away since."""

    @property
    def label(self) -> str:
        return label_of(self.model)

    @property
    def rows(self) -> "QuerySet[Any]":
        """All of them, whatever the model's own manager leaves out."""
        return self.model._base_manager.all()  # noqa: SLF001

    @cached_property
    def columns(self) -> dict[str, "Field[Any, Any]"]:
        """By the name of the attribute: `version_id`."""
        fields = self.model._meta.concrete_fields  # noqa: SLF001
        found = {each.attname: each for each in fields if not each.primary_key}
        left_out = {*self.beside, *self.elsewhere}
        return {name: each for name, each in found.items() if each.name not in left_out}

    @cached_property
    def many(self) -> tuple[str, ...]:
        """Relations to many that are kept as a list of what the others are called."""
        fields = self.model._meta.many_to_many  # noqa: SLF001
        return tuple(each.name for each in fields if each.name not in self.beside)

    def word(self, column: str) -> str:
        """The column as people call it."""
        found = self.columns.get(column)
        return column.replace("_", " ") if found is None else str(found.verbose_name)


TABLES: dict[str, Table] = {
    table.label: table
    for table in (
        Table(
            PromotionRequest,
            "Request #{id}",
            {"waits_for": "Worked out anew from rule and approvals; it only says in whose inbox the request is."},
            elsewhere=frozenset({"evidence"}),  # by its fingerprint: `references`
        ),
        Table(Nomination, "Nomination {id} on request #{request_id}"),
        Table(Comment, "Comment {id} on request #{request_id}"),
        Table(Review, "Review {id} of request #{request_id}", personal=frozenset({"signed_name"})),
        Table(Finding, "Finding {id} of review {review_id}"),
        Table(
            CheckResult,
            "Check {id} of request #{request_id}",
            {"attempts": QUEUE, "next_attempt_at": QUEUE, "called_at": QUEUE, "token": ADDRESS},
        ),
        Table(
            OutboxEntry,
            "Delivery {id} of request #{request_id}",
            dict.fromkeys(
                (
                    "available_at",
                    "attempts",
                    "claimed_by",
                    "lease_expires_at",
                    "waiting_since",
                    "last_error",
                    "held_until",
                    "held_by",
                    "plan",
                    "is_at_rest",
                    "traceparent",
                ),
                QUEUE,
            ),
            # Closed ones are pruned; the events say what came of them. A digest is of a row from before version 0.4.
            may_be_gone=lambda kept: isinstance(kept, tuple) or bool(kept.get("closed_at")),
        ),
        Table(Probation, "The probation of request #{request_id}", {"token": ADDRESS}),
        Table(
            Tenure,
            "The tenure of {model_name} version {version_number} in {place} (tenure {id})",
            {"files_checked_at": QUEUE},
        ),
        Table(
            Incident,
            "Incident #{id}",
            dict.fromkeys(
                ("is_owed", "available_at", "attempts", "claimed_by", "lease_expires_at", "last_error"), QUEUE
            ),
            shown={"details": lambda told: {key: each for key, each in told.items() if key != "began_at"}},
        ),
        Table(Target, "The target {name}"),
        Table(Policy, "The policy {id} ({model_pattern})"),
        Table(PolicyVersion, "Version {number} of the policy {policy_id}", personal=frozenset({"saved_as"})),
        Table(FreezeWindow, "The freeze {name}"),
        Table(
            Webhook,
            "The webhook {name}",
            dict.fromkeys(
                ("done", "attempts", "failing_since", "next_attempt_at", "claimed_by", "lease_expires_at"), QUEUE
            ),
        ),
        Table(ModelMetrics, "The metrics of record of {model_name}"),
        Table(
            User,
            "Person {id}",
            {
                "password": "Its hash is a secret, and no page, certificate or archive shows it.",
                "last_login": "Changes with every sign-in, and nothing is decided on it.",
                "uses_shortcuts": "How a person likes their pages.",
                "saved_views": "How a person likes their pages.",
                "time_zone": "How a person likes their pages.",
                "hides_first_day": "How a person likes their pages.",
            },
            elsewhere=frozenset({"name", "email"}),  # by the identities: `people`
            personal=frozenset({"mlflow_names", "former_mlflow_names", "former_names"}),
        ),
        Table(
            ApiToken,
            "The API token {prefix}",
            {
                "digest": "The hash of a secret, and no page, certificate or archive shows it.",
                "proof": "The hash of what was given for it, and no page, certificate or archive shows it.",
                "last_used_at": "Changes with every hour of use, and nothing is decided on it.",
                "last_used_from": "Changes with every hour of use, and nothing is decided on it.",
            },
        ),
        Table(TrustedPublisher, "The trusted publisher {id} ({repository})"),
        Table(Group, "The group {name}"),
    )
}

_OWN = "Countersign's own account of what it did; nothing is decided on it, and anybody may have it done again."
_MIRROR = (
    "A copy of MLflow, read anew all the time; what was decided on is frozen in the request's evidence, and what held "
    "a target is in the tenures."
)
_TOLD = "What was sent to people of what the ledger has; it is never shown as a record."
_SIGN_IN = "How people sign in: nothing of it is shown as a record. Who did what is in the ledger."
_DJANGO = "Kept by Django and its migrations; shown nowhere."

NOT_HELD: dict[str, str] = {
    # Tables of which no row is held against the ledger, each with the reason.
    "assessment": QUEUE,
    "watchedplace": "Which places the watch knows already; they follow from the targets.",
    "watchstate": QUEUE,
    "mirrorstate": QUEUE,
    "refreshhint": QUEUE,
    "setupcheck": QUEUE,
    "ledgercut": "Stops writing to MLflow while it is open; what it found and who went on is in the event of that.",
    "verification": _OWN,
    "signing": QUEUE,
    "policyfeed": "What MLflow fetches: follows from targets and policies, and is written anew all the time.",
    "sealedfolder": "Where MLflow keeps files, as it said.",
    "refusal": "How often MLflow refused it again; what was refused whom is in the event.",
    "sentonce": "Answers that are given again for a day; what was done has events of its own.",
    "reading": "When a person opened a page; the event of a decision has it for who decided.",
    "registeredmodel": _MIRROR,
    "modelversion": _MIRROR,
    "inspection": _MIRROR,
    "alias": _MIRROR,
    "outage": "Written by the mirror, which does not know the ledger; an audit shows it as the mirror's word.",
    "notificationchoice": _TOLD,
    "digesttime": _TOLD,
    "subscription": _TOLD,
    "notification": _TOLD,
    "notificationstate": _TOLD,
    "webhookattempt": "What was sent to other programs of what the ledger has, and how they answered.",
    "emailaddress": _SIGN_IN,
    "emailconfirmation": _SIGN_IN,
    "socialapp": _SIGN_IN,
    "socialaccount": _SIGN_IN,
    "socialtoken": _SIGN_IN,
    "authenticator": _SIGN_IN,
    "session": _SIGN_IN,
    "usersession": _SIGN_IN,
    "permission": _DJANGO,
    "contenttype": _DJANGO,
}

HELD_OTHERWISE: dict[str, dict[str, str]] = {
    # Tables that other parts of the proof hold, with the columns that they do not.
    "auditevent": {},
    "chainhead": {},
    "checkpoint": {},
    "identity": {
        "created_at": "When the name was first written down; shown nowhere.",
        "naming": "Whether it is a label or an address: it only says where the page of a person looks for the name.",
    },
    "exhibit": dict.fromkeys(
        ("version", "path", "kind", "media_type"),
        "Only what the frozen evidence names, by path and digest, is shown of a request.",
    ),
    "user_groups": {},  # with the person
    "user_user_permissions": {},
    "group_permissions": {},
}


MAY_GO: dict[str, str] = {
    # Tables of which a row may be missing without a fault, each with the reason.
    "checkpoint": "The copy that counts is kept elsewhere; the table's last rows leave no gap behind them.",
    "outboxentry": "Closed ones are pruned: see `may_be_gone`; an open one may not go.",
    "exhibit": "Of what the frozen evidence names, pages and archives say that it is no longer there.",
}


def unsettled(table: Table, row: Row) -> frozenset[str]:
    """Columns that still change without an event, as the row is now."""
    if table.model is CheckResult and row["outcome"] == Outcome.WAITING:
        return frozenset({"reason"})  # of the last call, until the answer
    if table.model is Tenure and not row["files_digest"]:
        return frozenset({"files_digest"})  # of files that no one approved: the watch takes them as it reads them
    return frozenset()
