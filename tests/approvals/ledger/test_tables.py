"""Every column of every table: whatever is forged in it, verification names the row, or the code says why not."""

import gc
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, time, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Permission
from django.db import DatabaseError, connection, models, transaction
from django.utils import timezone

from approvals import administration, ledger, workflow
from approvals.ledger import tables, triggers
from approvals.ledger.tables import HELD_OTHERWISE, MAY_GO, NOT_HELD, TABLES, label_of
from approvals.models import Policy, Target
from approvals.policy import MetricRule
from approvals.workflow.findings import FindingInput
from tests.approvals.ledger import ledger_history
from tests.support.factories import make_exhibit, make_freeze, make_person, make_rule, make_webhook
from tests.support.world import World, proof

MODELS = {label_of(model): model for model in apps.get_models(include_auto_created=True)}
HELD = sorted(MODELS.keys() - NOT_HELD.keys())
COLUMNS = [
    (label, field.name)
    for label in HELD
    for field in MODELS[label]._meta.concrete_fields
    if not field.primary_key
]  # fmt: skip
LISTED = {(label, name): why for label, table in TABLES.items() for name, why in table.beside.items()} | {
    (label, name): why for label, columns in HELD_OTHERWISE.items() for name, why in columns.items()
}
REFUSED = {
    # Columns of which the database takes no other value in this world, even without its CHECK constraints.
    ("policyversion", "policy"),
    ("target", "stage"),
}


def populate() -> None:
    """At least one row of each table that is held; what happens to them is what people and the worker do."""
    production = Target.objects.get(name="Production")
    ada = make_person("Ada Brandt", "administrator")
    world = World("churn_predictor", "demand")
    world.otto.user_permissions.add(Permission.objects.get(codename="roll_back"))
    risk = administration.add_group("risk", by=ada)
    rule = make_rule("churn_*", (2, None), probation={"hours": 2})
    rule = type(rule).from_json(rule.as_json())
    administration.save_policy(Policy(target=production), rule, by=ada)
    groups = [*world.rosa.groups.all(), risk]
    administration.set_person(world.rosa, groups=groups, mlflow_names=["rlind"], is_service_account=False, by=ada)
    world.rosa.refresh_from_db()
    world.rosa.name = "Rosa Lindt"
    world.rosa.save()
    make_freeze("Moving")
    make_webhook()
    administration.save_model_metrics(world.version("demand", 1).model, [MetricRule("auc")], by=ada)
    world.observe()
    request = world.ask("churn_predictor", 1, production)
    workflow.comment(request, by=world.remy, body="Looks good.")
    workflow.nominate(request, by=world.rita, person=world.rosa)
    finding = FindingInput("Write the model card.", world.rita, timezone.now().date())
    workflow.review(request, by=world.remy, verdict="approve", comment="Ok.", findings=[finding], proof=proof())
    workflow.review(request, by=world.rosa, verdict="approve", proof=proof())
    world.work()
    workflow.close_finding(request.reviews.get(reviewer=world.remy).findings.get(), by=world.rosa, note="Written.")
    world.ask("demand", 2, production)
    world.break_glass("churn_predictor", 2, production)
    world.observe()
    world.registry.set_alias("churn_predictor", "champion", 3)
    world.observe(2)
    administration.make_token(world.rita, name="ci", scopes=["read"], by=world.rita)
    robot = administration.make_service_account(name="train-bot", owner=world.rita, by=ada)
    administration.add_publisher(
        robot,
        provider="github",
        issuer=settings.TOKEN_ISSUERS[0],
        repository="acme/churn",
        ref="refs/heads/main",
        scopes=["read"],
        by=world.rita,
    )
    make_exhibit(world.version("churn_predictor", 1))
    administration.take_checkpoint(by=None)


@pytest.fixture(scope="module")
def populated(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Once for all tests of this module, which leave it as they found it."""
    key = settings.CHECKPOINT_KEY
    settings.CHECKPOINT_KEY = ledger_history.SEED
    with django_db_blocker.unblock():
        with transaction.atomic():
            populate()
            assert prove() == ""
            take_away_checks()
            yield
            transaction.set_rollback(True)
        if connection.vendor == "sqlite":
            connection.cursor().execute("PRAGMA ignore_check_constraints = OFF")
    settings.CHECKPOINT_KEY = key


def take_away_checks() -> None:
    """The triggers of the ledger and the CHECK constraints, as somebody with the database's password can."""
    connection.check_constraints()
    triggers.remove(connection.SchemaEditorClass(connection, atomic=False))
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA ignore_check_constraints = ON")
            return
        cursor.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint"
            " WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        )
        for table, name in cursor.fetchall():
            cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        try:
            yield
        finally:
            if connection.vendor == "postgresql":
                gc.collect(1)  # closes cursors of what was not read to its end, which the roll back would take away
        transaction.set_rollback(True)


def prove() -> str:
    return ledger.verify(with_references=True, with_anchors=True).problem


def some(label: str, *, seed: str) -> Any:
    keys = list(MODELS[label]._base_manager.order_by("pk").values_list("pk", flat=True))
    assert keys, f"The world of this test has no row of {label}: let it have one."
    return random.Random(seed).choice(keys)


def forgeries(field: Any, value: Any) -> Iterator[Any]:
    """Other values, the likeliest to be taken first."""
    if field.is_relation:
        others = field.related_model._base_manager.exclude(pk=value).order_by("pk").values_list("pk", flat=True)
        yield from others[:5]
        yield from [None] if field.null and value is not None else []
    elif field.choices:
        yield from (each for each, _ in field.flatchoices if each != value)
    elif isinstance(field, models.BooleanField):
        yield not value
    elif isinstance(field, models.IntegerField):
        yield from (1, 2, 1000) if value is None else (value + 1, value + 1000)
    elif isinstance(field, models.DateTimeField):
        yield from [timezone.now()] if value is None else (value + timedelta(seconds=1), value - timedelta(seconds=1))
    elif isinstance(field, models.DateField):
        yield (value or date(2026, 1, 1)) + timedelta(days=1)
    elif isinstance(field, models.TimeField):
        yield time(3, 7) if value != time(3, 7) else time(3, 8)
    elif isinstance(field, models.JSONField):
        yield {"forged": 1} if isinstance(value, dict) else ["forged"]
    elif isinstance(field, models.UUIDField):
        yield uuid.uuid4()
    elif isinstance(field, models.BinaryField):
        yield bytes(value) + b"forged"
    else:
        yield (value or "")[: (field.max_length or 9999) - 1] + "x"
        yield "f" * 64


def forge(label: str, column: str) -> bool:
    """Changes one value of one row, as UPDATE would; False where the database takes none of the others."""
    model, pk = MODELS[label], some(label, seed=f"{label}.{column}")
    field = model._meta.get_field(column)
    value = model._base_manager.filter(pk=pk).values_list(field.attname, flat=True)[0]
    for other in forgeries(field, value):
        try:
            with transaction.atomic():
                model._base_manager.filter(pk=pk).update(**{field.attname: other})
        except DatabaseError:
            continue
        return True
    return False


@pytest.mark.each_database
@pytest.mark.parametrize(("label", "column"), COLUMNS)
def test_a_forged_value_is_named_or_listed(populated: None, label: str, column: str) -> None:
    with undone():
        if not forge(label, column):
            assert (label, column) in REFUSED
            return
        found = prove()
    if (label, column) in LISTED:
        assert found == "", "It is found, so the list need not have it."
    else:
        assert found, f"Nothing holds {label}.{column}: seal it, or give the reason in approvals.ledger.tables."


@pytest.mark.each_database
@pytest.mark.parametrize("label", HELD)
def test_a_deleted_row_is_named(populated: None, label: str) -> None:
    with undone():
        rows = MODELS[label]._base_manager.filter(pk=some(label, seed=label))
        rows._raw_delete(rows.db)  # type: ignore[attr-defined]
        found = prove()
    assert (found == "") == (label in MAY_GO)


@pytest.mark.each_database
@pytest.mark.parametrize("label", sorted(TABLES))
def test_a_row_that_was_added_by_hand_is_named(populated: None, label: str) -> None:
    """A copy of another row, with other values where two cannot have the same."""
    model = MODELS[label]
    unique = {field.name for field in model._meta.fields if field.unique} | {
        name for each in model._meta.constraints for name in getattr(each, "fields", ())
    }
    with undone():
        copied = model._base_manager.get(pk=some(label, seed=label))
        fields = {field for field in model._meta.concrete_fields if field.name in unique and not field.primary_key}
        for field in fields:
            others = forgeries(field, field.value_from_object(copied))
            if field.one_to_one:
                taken = model._base_manager.exclude(**{field.name: None}).values(field.attname)
                others = iter(
                    list(field.related_model._base_manager.exclude(pk__in=taken).values_list("pk", flat=True))
                )
            setattr(copied, field.attname, next(others))
        for name, value in {"user": {"email": "eve@example.com"}, "target": {"stage": ""}}.get(label, {}).items():
            setattr(copied, name, value)
        copied.pk = (model._base_manager.aggregate(last=models.Max("pk"))["last"] or 0) + 1
        copied.save_base(raw=True, force_insert=True)
        assert prove()


def test_every_table_and_column_is_held_or_has_a_reason() -> None:
    held = {*TABLES, *HELD_OTHERWISE}
    assert MODELS.keys() == held | NOT_HELD.keys()
    assert not held & NOT_HELD.keys()
    assert not TABLES.keys() & HELD_OTHERWISE.keys()
    for label, column in LISTED:
        assert column in {field.name for field in MODELS[label]._meta.get_fields()}, (label, column)
    assert all(len(why) > 20 for why in (*NOT_HELD.values(), *LISTED.values()))
    assert all(tables.TABLES[label].columns for label in TABLES)
