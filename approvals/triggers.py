"""The database's own guard over the ledger: rows are only ever added, and the chain's head moves one step at a time.

Used by the migration that installs the triggers and by tests that have to take them away for a moment.
"""

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

EVENTS, HEAD = "approvals_auditevent", "approvals_chainhead"
REFUSAL = "The ledger is append-only."
HEAD_REFUSAL = "The head of the ledger only moves forward."

_SQLITE = {
    "ledger_no_update": f"BEFORE UPDATE ON {EVENTS} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
    "ledger_no_delete": f"BEFORE DELETE ON {EVENTS} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
    "ledger_head_no_delete": f"BEFORE DELETE ON {HEAD} BEGIN SELECT RAISE(ABORT, '{HEAD_REFUSAL}'); END",
    "ledger_head_forward": (
        f"BEFORE UPDATE ON {HEAD} WHEN NEW.sequence <> OLD.sequence + 1 "
        f"BEGIN SELECT RAISE(ABORT, '{HEAD_REFUSAL}'); END"
    ),
}
_POSTGRESQL = {
    "ledger_no_update": (EVENTS, "BEFORE UPDATE OR DELETE", "FOR EACH ROW", "ledger_refuse"),
    "ledger_no_truncate": (EVENTS, "BEFORE TRUNCATE", "FOR EACH STATEMENT", "ledger_refuse"),
    "ledger_head_no_delete": (HEAD, "BEFORE DELETE", "FOR EACH ROW", "ledger_head_refuse"),
    "ledger_head_no_truncate": (HEAD, "BEFORE TRUNCATE", "FOR EACH STATEMENT", "ledger_head_refuse"),
    "ledger_head_forward": (
        HEAD,
        "BEFORE UPDATE",
        "FOR EACH ROW WHEN (NEW.sequence <> OLD.sequence + 1)",
        "ledger_head_refuse",
    ),
}


def install(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Raises NotImplementedError on a database that is neither SQLite nor PostgreSQL: there the ledger would be
    open."""
    vendor = schema_editor.connection.vendor
    if vendor == "sqlite":
        for name, body in _SQLITE.items():
            schema_editor.execute(f"CREATE TRIGGER {name} {body}", params=None)
    elif vendor == "postgresql":
        for function, message in (("ledger_refuse", REFUSAL), ("ledger_head_refuse", HEAD_REFUSAL)):
            schema_editor.execute(
                f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; END $$",
                params=None,
            )
        for name, (table, when, scope, function) in _POSTGRESQL.items():
            schema_editor.execute(
                f"CREATE TRIGGER {name} {when} ON {table} {scope} EXECUTE FUNCTION {function}()", params=None
            )
    else:
        raise NotImplementedError(f"The ledger's triggers are not written for {vendor}; use PostgreSQL or SQLite.")


def remove(schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "sqlite":
        for name in _SQLITE:
            schema_editor.execute(f"DROP TRIGGER {name}", params=None)
    else:
        for name, (table, *_) in _POSTGRESQL.items():
            schema_editor.execute(f"DROP TRIGGER {name} ON {table}", params=None)
        for function in ("ledger_refuse", "ledger_head_refuse"):
            schema_editor.execute(f"DROP FUNCTION {function}()", params=None)
