"""Small builders of rows. Each makes the plainest thing that is legal; say what matters, leave out the rest."""

import hashlib
import struct
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import PurePosixPath
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.utils import timezone

from accounts import tokens
from accounts.models import User
from approvals import administration, tenures, workflow
from approvals.models import FreezeWindow, Incident, Policy, PolicyVersion, PromotionRequest, Target, Tenure, Webhook
from approvals.models.event_types import WEBHOOKS
from approvals.policy import Rule, SlotRule
from approvals.policy.freezes import Once
from approvals.watch import incidents
from mirror.models import Exhibit, Inspection, ModelVersion, RegisteredModel

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "a-long-enough-password"
_numbers = count(1)


def make_person(name: str, *groups: str, password: str | None = PASSWORD, **fields: Any) -> User:
    person: User = User.objects.create_user(
        email=f"{name.split(' ', maxsplit=1)[0].lower()}@example.com", password=password, name=name, **fields
    )
    for group in groups:
        person.groups.add(Group.objects.get_or_create(name=group)[0])
    return person


def somebody(name: str, role: str) -> User:
    """Whom the world that the file has `kept` made already, or a new person."""
    return User.objects.filter(name=name).first() or make_person(name, role)


def make_commenter(name: str = "Nora Berg") -> User:
    """With one permission, which a group of their own gives: every role has more, that of reading the history too."""
    person = make_person(name, "commenters")
    person.groups.get().permissions.set(Permission.objects.filter(codename="comment_on_request"))
    return person


def make_token(account: User, *scopes: str, name: str = "ci-train", days: int = 90) -> str:
    """The text of a new API token of a person, or of a service account with an owner; without scopes it has all."""
    by = account.owner if account.is_service_account and account.owner else account
    given = scopes or tokens.scopes_of(account)
    return administration.make_token(account, name=name, scopes=given, days=days, by=by)[1]


def make_service_account(name: str = "train-bot", *, owner: User, groups: Iterable[str] = ("requester",)) -> User:
    ada = User.objects.filter(groups__name="administrator").first() or make_person("Admin Istrator", "administrator")
    given = [Group.objects.get_or_create(name=group)[0] for group in groups]
    return administration.make_service_account(name=name, owner=owner, groups=given, by=ada)


def make_model(name: str = "", **fields: Any) -> RegisteredModel:
    now = timezone.now()
    defaults = {"created_at": now, "last_updated_at": now} | fields
    return RegisteredModel.objects.get_or_create(name=name or f"model_{next(_numbers)}", defaults=defaults)[0]


def make_version(
    model: str | RegisteredModel = "churn_predictor", number: int | None = None, **fields: Any
) -> ModelVersion:
    row = model if isinstance(model, RegisteredModel) else make_model(model)
    if number is None:
        number = (row.versions.order_by("-number").values_list("number", flat=True).first() or 0) + 1
    now = timezone.now()
    defaults: dict[str, Any] = {
        "created_at": now,
        "last_updated_at": now,
        "metrics": {"auc_roc": 0.9},
        "params": {"max_depth": "8"},
        "run_id": f"run{number}",
        "facts_at": now,
    }
    return ModelVersion.objects.create(model=row, number=number, **(defaults | fields))


def make_rule(pattern: str = "*", *slots: tuple[Any, ...], **terms: Any) -> Rule:
    """`slots` are (approvals, group name or None, parts it looks at …)."""
    return Rule(
        model_pattern=pattern,
        slots=tuple(SlotRule(count, group, tuple(parts)) for count, group, *parts in slots or [(1, None)]),
        **terms,
    )


def make_policy(pattern: str, target: Target, *slots: tuple[Any, ...], on_record: bool = False, **terms: Any) -> Policy:
    """`slots` are (approvals, group name or None, parts it looks at …); `terms` any field of policy.Rule.

    As it stands, the policy lies beside the ledger, as one that the installation began with. Verification finds that
    once there are events of policies: say `on_record` where a test verifies and has policies change."""
    for _, name, *_ in slots:
        if name:
            Group.objects.get_or_create(name=name)
    rule = make_rule(pattern, *slots, **terms)
    now = Policy.objects.current().filter(target=target, model_pattern=pattern).first()
    if on_record:
        return administration.save_policy(now or Policy(target=target), rule, by=None)
    if now:
        now.retired_at = timezone.now()
        now.save()
    made = Policy.objects.create(target=target, model_pattern=pattern, terms=rule.terms())
    PolicyVersion.objects.create(policy=made, number=1, terms=made.terms, saved_as="Ada Brandt <ada@example.com>")
    administration.place(made)
    return made


FILES = {"digest": "d" * 64, "bytes": 3, "count": 1, "manifest": [["MLmodel", 3, "e" * 64]]}
PACKAGING: dict[str, Any] = {
    "signature": None,
    "input_example": None,
    "flavors": {"sklearn": {"serialization_format": "skops"}},
    "requirements": ["scikit-learn==1.7.2"],
    "python_version": "3.11.9",
    "model_size_bytes": 3,
}


def make_inspection(version: ModelVersion, **fields: Any) -> Inspection:
    """What the worker found in the version's files."""
    now = timezone.now()
    defaults = {"packaging": PACKAGING, "files": FILES, "inspected_at": now, "started_at": now}
    return Inspection.objects.update_or_create(version=version, defaults=defaults | fields)[0]


def png(red: int = 40, *, side: int = 8) -> bytes:
    """A square of one colour."""
    row = b"\x00" + bytes((red, 90, 160)) * side
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * side)),
        (b"IEND", b""),
    ]
    body = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def make_exhibit(version: ModelVersion, path: str = "figures/roc.png", content: bytes = b"", **fields: Any) -> Exhibit:
    """A figure, or by its ending a table, that the version's run logged."""
    content = content or png()
    media_type = {".csv": "text/csv", ".json": "application/json"}.get(PurePosixPath(path).suffix, "image/png")
    defaults = {
        "kind": "image" if media_type == "image/png" else "table",
        "media_type": media_type,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "content": content,
    }
    return Exhibit.objects.update_or_create(version=version, path=path, defaults=defaults | fields)[0]


def make_request(
    version: ModelVersion, target: Target, *, by: User, justification: str = "Better.", is_checked: bool = True
) -> PromotionRequest:
    """A request that people are asked about; with `is_checked` False, one that the worker has not looked at yet."""
    request = workflow.request_promotion(version, target, by=by, justification=justification)
    return check(request) if is_checked else request


def check(request: PromotionRequest, **inspection: Any) -> PromotionRequest:
    """Does the worker's part: inspection and checks."""
    version = ModelVersion.objects.get(pk=request.version_id)
    if inspection or not Inspection.objects.filter(version=version).exists():
        make_inspection(version, **inspection)
    workflow.conclude(request)
    return PromotionRequest.objects.with_subject().get(pk=request.pk)


def approve(request: PromotionRequest, *people: User) -> PromotionRequest:
    for person in people:
        workflow.review(request, by=person, verdict="approve")
    request.refresh_from_db()
    return request


def hours(count: float) -> datetime:
    """So long after the noon of some day."""
    return NOON + timedelta(hours=count)


def make_tenure(
    model: str,
    number: int,
    target: Target,
    start: datetime,
    end: datetime | None = None,
    *,
    origin: str = "delivery",
    places: tuple[str, ...] = (),
    how: str = "replaced",
    **fields: Any,
) -> None:
    """In each of the target's places or in these, as the watch, a delivery or an import would write it."""
    for place in places or tenures.places_of(target):
        Tenure.objects.create(
            model_name=model,
            version_number=number,
            target=target,
            place=place,
            is_sole=tenures.is_sole(target, place),
            origin=origin,
            started_at=start,
            ended_at=end,
            end=how if end else "",
            **fields,
        )


def make_freeze(name: str = "") -> FreezeWindow:
    """A window of one hour that lies far ahead, so that it holds nothing."""
    window = FreezeWindow(name=name or f"Move {next(_numbers)}")
    begins = timezone.now() + timedelta(days=100)
    window.when = Once(begins, begins + timedelta(hours=1))
    return administration.save_freeze(window, by=None)


def make_incident(model: str = "churn_predictor", target: Target | None = None, **fields: Any) -> Incident:
    """A change of the target's stage from version 1 to version 2, a minute ago."""
    target = target or Target.objects.get(name="Production")
    now = timezone.now()
    defaults: dict[str, Any] = {
        "kind": Incident.Kind.MOVED,
        "place": target.stage,
        "before": [1],
        "after": [2],
        "approved": [1],
        "seen_at": now - timedelta(minutes=1),
        "not_before": now - timedelta(minutes=2),
        "version": 2,
    }
    with transaction.atomic():
        return incidents.open_incident(incidents.Found(model=model, target=target, **(defaults | fields)))[0]


def make_webhook(name: str = "", *, is_paused: bool = False, **fields: Any) -> Webhook:
    """Of every type, to an address that is not called."""
    stands = {"url": "https://hooks.example.com/services/T0/B0/secret", "types": list(WEBHOOKS)} | fields
    found = administration.save_webhook(Webhook(name=name or f"Webhook {next(_numbers)}", **stands), by=None)
    if is_paused:
        administration.pause_webhook(found, by=None)
    return found
