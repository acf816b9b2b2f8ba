import inspect

from mlflow.store.model_registry.abstract_store import AbstractStore
from mlflow.store.model_registry.file_store import FileStore
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.model_registry.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore
from mlflow_gate.changes import COMPOSED, FREE, GUARDED, READS
from mlflow_gate.store import not_looked_at


def test_somebody_looked_at_each_method_of_mlflows_store() -> None:
    """A method that came with a newer MLflow belongs on one of the lists, after somebody looked at what it changes."""
    methods = {
        name
        for name, value in inspect.getmembers_static(AbstractStore)
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert methods - {*GUARDED, *FREE, *READS, *COMPOSED} == set()
    assert len(methods) > 40


def test_mlflows_own_stores_have_no_way_beside_the_lists() -> None:
    for plain in (SqlAlchemyStore, WorkspaceAwareSqlAlchemyStore, FileStore):
        assert not_looked_at(plain) == []


def test_no_method_is_on_two_lists() -> None:
    lists = [*GUARDED, *FREE, *READS, *COMPOSED]
    assert len(lists) == len(set(lists))


def test_a_store_with_a_composed_method_of_its_own_is_not_trusted_with_it() -> None:
    class Other(SqlAlchemyStore):  # type: ignore[misc]
        def set_prompt_alias(self, name: str, alias: str, version: int) -> None: ...

        def promote(self, name: str) -> None: ...

    assert not_looked_at(Other) == ["promote", "set_prompt_alias"]
