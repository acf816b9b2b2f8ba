"""The guard over MLflow's workspaces, for servers that have them: the scheme `countersign:` in
MLFLOW_WORKSPACE_STORE_URI.

Deleting a workspace is the one change of models that passes by MLflow's registry store: it deletes them, or moves them
into the default workspace, in the database. So while a version holds a guarded place there, or would by the rules for
the default workspace, the workspace stays. All else goes on as it comes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from mlflow_gate import changes, store
from mlflow_gate.policy import DEFAULT_WORKSPACE, OFF, Policy, fold, key_of

GUARDED = frozenset({"delete_workspace"})
FREE = frozenset({"create_workspace", "update_workspace"})
READS = frozenset(
    {
        "list_workspaces",
        "get_workspace",
        "get_default_workspace",
        "resolve_artifact_root",
        "resolve_trace_archival_config",
    }
)
"""The census: with the two above, all methods of MLflow's workspace stores."""


def build(workspace_uri: str) -> Any:
    """MLflow's entry point: the workspace store behind `countersign:`, guarded. Raises MlflowException."""
    from mlflow.tracking._workspace.registry import _get_workspace_store_registry  # noqa: PLC0415

    inner = workspace_uri[len(store.SCHEME) :]
    made = _get_workspace_store_registry().get_store_builder(inner)(workspace_uri=inner)
    if not hasattr(made, "ManagedSessionMaker"):
        sentence = f"{store.SCHEME} guards the workspaces of a database, and {inner!r} is none."
        raise MlflowException(sentence, INVALID_PARAMETER_VALUE)
    made.__class__ = guarded_class(type(made), store.gate())
    return made


def guarded_class(plain: type, gate: store.Gate) -> type:
    """A subclass of MLflow's class, so that the store is still what MLflow asks it to be."""
    delete = plain.delete_workspace  # type: ignore[attr-defined]
    signature = inspect.signature(delete)

    def delete_workspace(self: Any, *args: Any, **kwargs: Any) -> None:
        arguments = signature.bind(self, *args, **kwargs).arguments
        decide(gate, self, str(arguments["workspace_name"]))
        delete(self, *args, **kwargs)

    return type(f"Guarded{plain.__name__}", (plain,), {"delete_workspace": delete_workspace})


def decide(gate: store.Gate, workspaces: Any, name: str) -> None:
    """Returns when the workspace may go. Raises MlflowException, 403."""
    if gate.settings.mode == OFF:
        return
    policy = gate.policy()
    store.refuse(gate, "delete_workspace", list(_touched(policy, workspaces, name)), policy)


def _touched(policy: Policy, workspaces: Any, name: str) -> Iterator[changes.Touched]:
    """Whichever way it is to be deleted: MLflow itself refuses the one that keeps models."""
    for model, version, place in _held(workspaces, name):
        for workspace in (name, DEFAULT_WORKSPACE):
            found = policy.guarded(workspace, model).get(key_of(place))
            if found:
                where = changes.shown(found.place)
                sentence = f"The workspace {name} cannot be deleted while {model} version {version} is {where}"
                yield changes.Touched(found.rule, found.place, sentence, model, version)
    rule = policy.strictest
    if rule and any(fold(webhook) in policy.webhooks for webhook in _webhooks(workspaces, name)):
        sentence = f"The workspace {name} has the webhook that tells Countersign what changes"
        yield changes.Touched(rule, "webhook", sentence)


def _held(workspaces: Any, name: str) -> Iterator[tuple[str, int, str]]:
    """Model, version and place, as they are in MLflow's database."""
    from mlflow.store.model_registry.dbmodels.models import (  # noqa: PLC0415
        SqlModelVersion,
        SqlRegisteredModelAlias,
    )

    with workspaces.ManagedSessionMaker(read_only=False) as session:
        staged = session.query(SqlModelVersion.name, SqlModelVersion.version, SqlModelVersion.current_stage)
        called = session.query(
            SqlRegisteredModelAlias.name, SqlRegisteredModelAlias.version, SqlRegisteredModelAlias.alias
        )
        stages = staged.filter(SqlModelVersion.workspace == name).all()
        aliases = called.filter(SqlRegisteredModelAlias.workspace == name).all()
    yield from ((model, version, f"stage:{stage}") for model, version, stage in stages)
    yield from ((model, version, f"alias:{alias}") for model, version, alias in aliases)


def _webhooks(workspaces: Any, name: str) -> list[str]:
    from mlflow.store.model_registry.dbmodels.models import SqlWebhook  # noqa: PLC0415

    with workspaces.ManagedSessionMaker(read_only=False) as session:
        return [str(row[0]) for row in session.query(SqlWebhook.webhook_id).filter(SqlWebhook.workspace == name)]
