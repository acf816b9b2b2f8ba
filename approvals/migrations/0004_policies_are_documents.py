"""Turns slots into policy documents with a first version each, and what is left of superseded requests into rejected
ones: a change of the champion sends a request back to review since."""

from django.db import migrations


def terms_of(policy, slots):
    return {
        "model_pattern": policy.model_pattern,
        "slots": [
            {"approvals": slot.approvals, "group": slot.group.name if slot.group else None, "looks_at": []}
            for slot in slots
        ],
        "requires_reason": policy.requires_reason,
        "open_for_days": policy.open_for_days,
        "checks": [],
        "watched_tags": ["*"],
        "excludes_contributors": False,
        "contributor_tags": [],
        "files_limit_mb": None,
        "allows_findings": True,
        "signature": {"reauthenticate": False, "within_minutes": 5, "asks_meaning": False},
        "reminders": {
            "first_after_hours": 24,
            "every_hours": 48,
            "escalate_after_hours": None,
            "escalate_to": None,
        },
    }


def specificity(pattern):
    literal = sum(char not in "*?" for char in pattern)
    return (literal == len(pattern), literal, -pattern.count("*"))


def convert(apps, schema_editor):
    policy_model, version_model, slot_model, request_model = (
        apps.get_model("approvals", name) for name in ("Policy", "PolicyVersion", "Slot", "PromotionRequest")
    )
    by_target = {}
    for policy in policy_model.objects.order_by("pk"):
        slots = slot_model.objects.filter(policy=policy).select_related("group").order_by("position", "pk")
        policy.terms = terms_of(policy, slots)
        version_model.objects.create(
            policy=policy, number=1, terms=policy.terms, saved_at=policy.created_at, saved_as="Countersign upgrade"
        )
        by_target.setdefault(policy.target_id, []).append(policy)
    for policies in by_target.values():
        ordered = sorted(policies, key=lambda policy: specificity(policy.model_pattern), reverse=True)
        for position, policy in enumerate(ordered, start=1):
            policy.position = position
            policy.save()
    request_model.objects.filter(status="superseded").update(status="rejected")


class Migration(migrations.Migration):
    dependencies = [("approvals", "0003_evidence_and_checks")]
    operations = [migrations.RunPython(convert, migrations.RunPython.noop)]
