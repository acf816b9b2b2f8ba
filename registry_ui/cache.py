"""The cache in the database, which says when it could not be asked."""

from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.db import DatabaseCache
from django.db import OperationalError, connections, router


class LoudDatabaseCache(DatabaseCache):
    """Django's takes a database that is locked or away for a key that is there already. django-allauth counts tries at
    signing in under such keys, and would tell people of too many requests that no one made."""

    def _base_set(self, mode: str, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT) -> bool:
        failures: list[OperationalError] = []

        def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            try:
                return execute(sql, params, many, context)
            except OperationalError as error:
                failures.append(error)
                raise

        with connections[router.db_for_write(self.cache_model_class)].execute_wrapper(watch):
            done: bool = super()._base_set(mode, key, value, timeout)  # type: ignore[misc]
        if failures:
            raise failures[0]
        return done
