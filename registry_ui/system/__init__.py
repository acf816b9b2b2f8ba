"""How the parts of this installation are, in words, and what to do about each. Asks nobody but the database and the
broker: what is known of MLflow and the worker is what they left behind there."""

from accounts import identity_providers
from mirror.models import MirrorState
from registry_ui import health
from registry_ui.system import mlflow, record, work
from registry_ui.system.part import BAD, GOOD, SLOW, Part

__all__ = ["BAD", "GOOD", "SLOW", "Part", "parts"]


def parts() -> list[Part]:
    """Every part, the database first. Where the database cannot be used, nothing else is known."""
    checks = health.examine()
    database = checks["database"]
    if not database["ok"]:
        remedy = "See the log of the web process and check DATABASE_URL."
        return [Part("Database", BAD, "Trouble", database["detail"], remedy=remedy)]
    mirror: MirrorState = MirrorState.objects.current()
    return [
        Part("Database", GOOD, "OK", database["detail"]),
        record.database_role(),
        mlflow.mlflow(mirror),
        mlflow.registry(mirror),
        *record.cut(),
        mlflow.rights(),
        mlflow.gate(mirror),
        *mlflow.policy(),
        *map(record.roles, identity_providers.states()),
        work.clocks(mirror),
        work.worker(mirror),
        work.mirror(mirror),
        work.sweep(mirror),
        work.watch(mirror),
        work.checks(),
        work.broker(checks["broker"]),
        work.outbox(),
        work.notifications(),
        record.ledger(),
    ]
