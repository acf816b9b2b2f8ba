"""The roles in PostgreSQL that deploy/docker/roles.sql makes: what the one that runs must not write.

`countersign_app` reads and writes the rows of every table. After each migration the owner of the tables takes back what
it has no use for. `manage.py check --deploy` and the System page say where the role that runs can still do it.
"""

from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

APP = "countersign_app"

TAKEN_BACK = {
    # Only migrations say what a role may do. Otherwise one INSERT would permit everything to everybody.
    "auth_permission": "INSERT, UPDATE, DELETE",
    "auth_group_permissions": "INSERT, UPDATE, DELETE",
    "accounts_user_user_permissions": "INSERT, UPDATE, DELETE",
    "django_content_type": "INSERT, UPDATE, DELETE",
    "django_migrations": "INSERT, UPDATE, DELETE",
    # The record is only added to. Triggers say the same of events and of the head, and look at what is added.
    "approvals_auditevent": "UPDATE, DELETE",
    "approvals_chainhead": "INSERT, DELETE",
    "approvals_checkpoint": "UPDATE, DELETE",
}

_ABOUT_US = """
SELECT current_user,
    -- A superuser is a member of every role; who may make roles can make itself one.
    pg_has_role(current_user, ledger.relowner, 'MEMBER') OR me.rolcreaterole,
    (SELECT coalesce(string_agg(relname, ', ' ORDER BY relname), '')
        FROM unnest(%s::text[], %s::text[]) AS taken (name, rights) JOIN pg_class ON pg_class.oid = to_regclass(name)
        WHERE has_table_privilege(pg_class.oid, rights))
FROM pg_class ledger, pg_roles me
WHERE ledger.oid = to_regclass('approvals_auditevent') AND me.rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class RunningRole:
    name: str
    is_owner: bool
    """Owns the ledger's tables, or can become who owns them."""

    writes: str
    """Tables of TAKEN_BACK where it still has a right that is on the list, separated by commas."""

    @property
    def problem(self) -> str:
        """A sentence; "" where the role has what it needs and no more."""
        if self.is_owner:
            return f"{OWNS} It is {self.name}."
        return (
            f"The running role, {self.name}, may change what it only has to read: {self.writes}." if self.writes else ""
        )

    @property
    def remedy(self) -> str:
        if self.is_owner:
            return (
                "Make the roles with deploy/docker/roles.sql, move the tables with deploy/docker/move-to-roles.sql, "
                f"and run everything but migrate as {APP}."
            )
        return "Run manage.py migrate as countersign_owner: it takes these rights back."


OWNS = "The running role owns the ledger's tables (or is a superuser): its triggers stop nothing."


def running_role(using: str = DEFAULT_DB_ALIAS) -> RunningRole | None:
    """None on SQLite, which has no roles, and before the first migration. Raises DatabaseError where there is no
    database."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute(_ABOUT_US, [list(TAKEN_BACK), list(TAKEN_BACK.values())])
        found = cursor.fetchone()
    return RunningRole(*found) if found else None


def take_back(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Receiver of post_migrate. Nothing to do where roles.sql was not run, or for who does not own the tables."""
    role, connection = running_role(using), connections[using]
    if role is None or not role.is_owner:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [APP])
        if cursor.fetchone()[0]:
            for table, rights in TAKEN_BACK.items():
                cursor.execute(f"REVOKE {rights} ON {connection.ops.quote_name(table)} FROM {APP}")
