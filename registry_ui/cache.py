"""The cache in the database, which says when it could not be asked, and counts."""

import time
from datetime import UTC, datetime
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.db import DatabaseCache
from django.db import OperationalError, connections, router


class LoudDatabaseCache(DatabaseCache):
    """Django's takes a database that is locked or away for a key that is there already. django-allauth counts tries at
    signing in under such keys, and would tell people of too many requests that no one made."""

    def hit(self, key: str, seconds: float, by: int = 1) -> tuple[int, float]:
        """Adds `by` to the count under `key`, which begins anew `seconds` after its first; returns the count and the
        seconds until then. One statement: of tries at the same moment, in whatever processes, each has a count of its
        own. Such a key is for `hit` alone."""
        connection, table = self._place()
        now, end = self._moment(0), self._moment(seconds)
        statement = (
            f"INSERT INTO {table} (cache_key, value, expires) VALUES (%s, %s, %s) "  # noqa: S608
            "ON CONFLICT (cache_key) DO UPDATE SET "
            f"value = CASE WHEN {table}.expires <= %s THEN excluded.value "
            f"ELSE CAST(CAST({table}.value AS integer) + %s AS varchar) END, "
            f"expires = CASE WHEN {table}.expires <= %s THEN excluded.expires ELSE {table}.expires END "
            "RETURNING value, expires"
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, [self._name(key), str(by), end, now, by, now])
            value, expires = cursor.fetchone()
        if isinstance(expires, str):
            expires = datetime.fromisoformat(expires).replace(tzinfo=UTC)
        return int(value), max(expires.timestamp() - time.time(), 0)

    def drop_expired(self) -> int:
        """Deletes what is over; returns how many rows."""
        connection, table = self._place()
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE expires < %s", [self._moment(0)])  # noqa: S608
            return int(cursor.rowcount)

    def _place(self) -> tuple[Any, str]:
        connection = connections[router.db_for_write(self.cache_model_class)]
        return connection, connection.ops.quote_name(self._table)  # type: ignore[attr-defined]

    def _name(self, key: str) -> str:
        return str(self.make_and_validate_key(key))

    def _moment(self, seconds: float) -> Any:
        """So many seconds from now, as the table has it."""
        moment = datetime.fromtimestamp(int(time.time() + seconds), tz=UTC)
        return connections[router.db_for_write(self.cache_model_class)].ops.adapt_datetimefield_value(moment)

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
