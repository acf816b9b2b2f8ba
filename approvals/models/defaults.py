"""What every installation starts with: two targets, two policies, the beginning of the chain, and notifications that
begin there."""

from typing import Any

from django.conf import settings

from approvals.policy import Rule, SlotRule

GENESIS = "0" * 64
INSTALLATION = "Countersign installation"


def terms_of(approvals: int) -> dict[str, Any]:
    """The policy that every installation starts with: so many approvals of any reviewer, for every model."""
    return Rule(model_pattern="*", slots=(SlotRule(approvals),)).terms()


def create(apps: Any, schema_editor: Any) -> None:
    """Idempotent, so that tests can call it after emptying the tables; they hold it against what migrations leave."""
    target, policy, version, head, state = (
        apps.get_model("approvals", name)
        for name in ("Target", "Policy", "PolicyVersion", "ChainHead", "NotificationState")
    )
    staging, _ = target.objects.get_or_create(
        name="Staging",
        defaults={
            "stage": "Staging",
            "position": 10,
            "description": "Integration tests load this version.",
        },
    )
    production, _ = target.objects.get_or_create(
        name="Production",
        defaults={
            "stage": "Production",
            "alias": "champion",
            "archives_existing": True,
            "position": 20,
            "description": "Serving code loads this version.",
        },
    )
    for place, approvals in ((staging, 1), (production, 2)):
        terms = terms_of(approvals)
        made, is_new = policy.objects.get_or_create(
            model_pattern="*", target=place, retired_at=None, defaults={"terms": terms, "position": 1}
        )
        if is_new:
            version.objects.create(policy=made, number=1, terms=terms, saved_as=INSTALLATION)
    head.objects.get_or_create(pk=1, defaults={"sequence": 0, "hash": GENESIS})
    state.objects.get_or_create(pk=1, defaults={"sequence": 0})


def enforce_production(apps: Any, schema_editor: Any) -> None:
    """Where MLflow's gate is set up with a new installation, Production is enforced from its first minute on. One that
    works already goes on as it was until somebody decides."""
    events, targets = apps.get_model("approvals", "AuditEvent"), apps.get_model("approvals", "Target")
    if settings.GATE_TOKEN and not events.objects.exists():
        targets.objects.filter(name="Production").update(enforcement="enforce")
