"""Lets what the guard lets pass through the triggers in MLflow's own database, where a second layer stands there.

The triggers (`deploy/mlflow-triggers` of Countersign) refuse each change of a guarded stage or alias for which there is
no permit. Permits are written with a database role of their own, which the address of MLflow's store does not name: so
who has that address, or starts MLflow without this plugin, has none.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from mlflow_gate.grants import STAGES


class Unwritten(Exception):
    """The database took no permit; the message says why."""


class Permits:
    """With an empty address there are no triggers, and nothing is written."""

    def __init__(self, address: str = "") -> None:
        """Raises ValueError for what is no address of a database."""
        self._engine: Any = None
        if address:
            import sqlalchemy  # noqa: PLC0415 -- MLflow's own, and only where it is used

            try:
                self._engine = sqlalchemy.create_engine(address, pool_pre_ping=True, isolation_level="AUTOCOMMIT")
            except (sqlalchemy.exc.ArgumentError, ImportError) as error:
                raise ValueError("COUNTERSIGN_GATE_DATABASE_URL is no address of a PostgreSQL database.") from error

    def confirm(self) -> None:
        """Raises ValueError, with a sentence for who starts MLflow, where permits could not be written."""
        if self._engine is None:
            return
        try:
            self._withdraw(self._write([]))
        except Unwritten as error:
            raise ValueError(f"COUNTERSIGN_GATE_DATABASE_URL: {error}") from error
        finally:
            self._engine.dispose()  # the server's processes are made from this one, and share no connection

    @contextlib.contextmanager
    def around(self, operation: str, arguments: Mapping[str, Any]) -> Iterator[None]:
        """While the change is made it has its permits. Raises MlflowException, 503, where they cannot be written."""
        wanted = _wanted(operation, arguments) if self._engine is not None else []
        if not wanted:
            yield
            return
        try:
            batch = self._write(wanted)
        except Unwritten as error:
            # Here, because MLflow loads its plugins while it is imported, and this module with them.
            from mlflow.exceptions import MlflowException  # noqa: PLC0415
            from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE  # noqa: PLC0415

            raise MlflowException(str(error), TEMPORARILY_UNAVAILABLE) from error
        try:
            yield
        finally:
            with contextlib.suppress(Unwritten):  # it ends by itself in ten seconds
                self._withdraw(batch)

    def _write(self, wanted: list[dict[str, Any]]) -> Any:
        return self._ask("SELECT countersign.permit(CAST(:given AS jsonb))", json.dumps(wanted))

    def _withdraw(self, batch: Any) -> None:
        self._ask("SELECT countersign.withdraw(:given)", batch)

    def _ask(self, statement: str, given: Any) -> Any:
        import sqlalchemy  # noqa: PLC0415

        try:
            with self._engine.connect() as connection:
                return connection.execute(sqlalchemy.text(statement), {"given": given}).scalar()
        except sqlalchemy.exc.SQLAlchemyError as error:
            reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
            raise Unwritten(f"MLflow's database takes no permit of the gate ({reason}).") from error


def _wanted(operation: str, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the triggers ask for: which version arrives where, and which leaves. No more than the call does, because for
    as long as it takes, what is permitted may be done by others."""
    name, version = str(arguments.get("name")), _number(arguments.get("version"))
    if operation == "transition_model_version_stage":
        place = f"stage:{STAGES.get(str(arguments['stage']).lower(), '')}"
        archived = [_leaves(name, place)] if arguments["archive_existing_versions"] else []
        return [_arrives(name, place, version), _leaves(name, "stage:*", version), *archived]
    if operation == "set_registered_model_alias":
        place = f"alias:{arguments['alias']}"
        return [_arrives(name, place, version), _leaves(name, place)]
    if operation == "delete_registered_model_alias":
        return [_leaves(name, f"alias:{arguments['alias']}")]
    if operation in ("delete_model_version", "delete_registered_model"):
        return [_leaves(name, "stage:*", version), _leaves(name, "alias:*", version)]
    if operation == "rename_registered_model":
        return [_arrives(name, f"name:{arguments['new_name']}")]
    return []


def _arrives(model: str, place: str, version: int | None = None) -> dict[str, Any]:
    return {"model": model, "place": place, "version": version, "arrives": True}


def _leaves(model: str, place: str, version: int | None = None) -> dict[str, Any]:
    return {"model": model, "place": place, "version": version, "arrives": False}


def _number(version: Any) -> int | None:
    return int(str(version)) if str(version).isdecimal() else None
