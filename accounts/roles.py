"""The five roles: Django groups with fixed permissions, made and kept up to date after every migration."""

from collections.abc import Iterable
from typing import Any

from django.utils.text import get_text_list

REQUESTER, REVIEWER, RESPONDER, AUDITOR, ADMINISTRATOR = (
    "requester",
    "reviewer",
    "responder",
    "auditor",
    "administrator",
)

PERMISSIONS: dict[str, tuple[str, ...]] = {
    REQUESTER: ("approvals.request_promotion", "approvals.comment_on_request", "approvals.view_history"),
    REVIEWER: (
        "approvals.review_promotion",
        "approvals.retry_delivery",
        "approvals.roll_back",
        "approvals.resolve_incident",
        "approvals.comment_on_request",
        "approvals.view_history",
    ),
    RESPONDER: (
        "approvals.break_glass",
        "approvals.roll_back",
        "approvals.comment_on_request",
        "approvals.view_history",
    ),
    AUDITOR: ("approvals.view_history", "approvals.export_history"),
    ADMINISTRATOR: (
        "accounts.manage_people",
        "approvals.manage_policies",
        "approvals.manage_webhooks",
        "approvals.override_check",
        "approvals.resolve_incident",
        "approvals.import_history",
        "approvals.sign_checkpoint",
        "approvals.retry_delivery",
        "approvals.view_history",
        "approvals.export_history",
    ),
}
DESCRIPTIONS = {
    REQUESTER: "Requests promotions.",
    REVIEWER: "Approves or rejects other people's requests.",
    RESPONDER: "Rolls back, and in an emergency promotes without approval; reviewers check it afterwards.",
    AUDITOR: "Reads and exports the history; changes nothing.",
    ADMINISTRATOR: "Manages people, targets and policies, and can override a failed check; does not approve.",
}

NEEDED = "You need a role to see this. An administrator can give you one."
"""What anyone without one is told, on pages and in the API."""


def as_what(names: Iterable[str]) -> str:
    """`as requester and reviewer in the group fraud`, of the names of roles and groups; "" of none."""
    given = sorted(set(names))
    held = [role for role in PERMISSIONS if role in given]
    groups = [name for name in given if name not in PERMISSIONS]
    parts = [f"as {get_text_list(held, 'and')}" if held else ""]
    parts.append(f"in the group{'s' if len(groups) > 1 else ''} {get_text_list(groups, 'and')}" if groups else "")
    return " ".join(filter(None, parts))


def ensure_roles(**_: Any) -> None:
    """Receiver of post_migrate: makes the role groups and sets exactly the permissions above."""
    from django.contrib.auth.models import Group, Permission

    known = {
        f"{p.content_type.app_label}.{p.codename}": p
        for p in Permission.objects.filter(content_type__app_label__in=["accounts", "approvals"]).select_related(
            "content_type"
        )
    }
    for role, names in PERMISSIONS.items():
        if all(name in known for name in names):
            Group.objects.get_or_create(name=role)[0].permissions.set([known[name] for name in names])
