"""The database's own guard over the ledger: rows are only ever added, and the chain's head moves one step at a time.

Used by the migration that installs the triggers and by tests that have to take them away for a moment.
"""

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

EVENTS, HEAD = "approvals_auditevent", "approvals_chainhead"
REFUSAL = "The ledger is append-only."
HEAD_REFUSAL = "The head of the ledger only moves forward."

_FORGED = (
    "NEW.sequence <> (SELECT sequence + 1 FROM approvals_chainhead WHERE id = 1)"
    " OR NEW.previous_hash <> (SELECT hash FROM approvals_chainhead WHERE id = 1)"
    " OR EXISTS (SELECT 1 FROM approvals_auditevent WHERE sequence = NEW.sequence OR hash = NEW.hash)"
)
"""A row that does not continue from the head, or that would take another's place: SQLite's INSERT OR REPLACE deletes
what is in its way without asking the DELETE trigger."""

_SKIPPED = (
    "NEW.sequence <> OLD.sequence + 1"
    " OR NOT EXISTS (SELECT 1 FROM approvals_auditevent WHERE sequence = NEW.sequence AND hash = NEW.hash)"
)
"""A head that moves by more than one step, or to an event that is not there."""

_SQLITE = {
    "ledger_no_forgery": (f"BEFORE INSERT ON approvals_auditevent WHEN {_FORGED}", REFUSAL),
    "ledger_no_update": ("BEFORE UPDATE ON approvals_auditevent", REFUSAL),
    "ledger_no_delete": ("BEFORE DELETE ON approvals_auditevent", REFUSAL),
    "ledger_head_only_one": (
        "BEFORE INSERT ON approvals_chainhead WHEN EXISTS (SELECT 1 FROM approvals_chainhead)",
        HEAD_REFUSAL,
    ),
    "ledger_head_no_delete": ("BEFORE DELETE ON approvals_chainhead", HEAD_REFUSAL),
    "ledger_head_forward": (f"BEFORE UPDATE ON approvals_chainhead WHEN {_SKIPPED}", HEAD_REFUSAL),
}

_FUNCTIONS = {
    # PostgreSQL's WHEN takes no subquery, so the function of a trigger asks.
    "ledger_refuse": ("TRUE", REFUSAL),
    "ledger_refuse_forgery": (_FORGED, REFUSAL),
    "ledger_head_refuse": ("TRUE", HEAD_REFUSAL),
    "ledger_head_refuse_skip": (_SKIPPED, HEAD_REFUSAL),
}
_POSTGRESQL = {
    "ledger_no_forgery": (EVENTS, "BEFORE INSERT", "FOR EACH ROW", "ledger_refuse_forgery"),
    "ledger_no_update": (EVENTS, "BEFORE UPDATE OR DELETE", "FOR EACH ROW", "ledger_refuse"),
    "ledger_no_truncate": (EVENTS, "BEFORE TRUNCATE", "FOR EACH STATEMENT", "ledger_refuse"),
    # A second head is refused by the primary key and the CHECK of the table.
    "ledger_head_no_delete": (HEAD, "BEFORE DELETE", "FOR EACH ROW", "ledger_head_refuse"),
    "ledger_head_no_truncate": (HEAD, "BEFORE TRUNCATE", "FOR EACH STATEMENT", "ledger_head_refuse"),
    "ledger_head_forward": (HEAD, "BEFORE UPDATE", "FOR EACH ROW", "ledger_head_refuse_skip"),
}


def install(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Raises NotImplementedError on a database that is neither SQLite nor PostgreSQL: there the ledger would be
    open."""
    vendor = schema_editor.connection.vendor
    if vendor == "sqlite":
        for name, (when, message) in _SQLITE.items():
            schema_editor.execute(
                f"CREATE TRIGGER {name} {when} BEGIN SELECT RAISE(ABORT, '{message}'); END", params=None
            )
    elif vendor == "postgresql":
        for function, (condition, message) in _FUNCTIONS.items():
            schema_editor.execute(
                f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN "
                f"RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; "
                "END IF; RETURN NEW; END $$",
                params=None,
            )
        for name, (table, when, scope, function) in _POSTGRESQL.items():
            schema_editor.execute(
                f"CREATE TRIGGER {name} {when} ON {table} {scope} EXECUTE FUNCTION {function}()", params=None
            )
        look_along_indexes(schema_editor)
        look_at_these_tables(schema_editor)
    else:
        raise NotImplementedError(f"The ledger's triggers are not written for {vendor}; use PostgreSQL or SQLite.")


def look_along_indexes(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """A session keeps the plans of a function. Made while the ledger has few events, they read all of it, and would for
    each event that follows. Nothing to do on SQLite, which looks along an index in any case."""
    if schema_editor.connection.vendor == "postgresql":
        for function in _FUNCTIONS:
            schema_editor.execute(f"ALTER FUNCTION {function}() SET enable_seqscan = off", params=None)


def look_at_these_tables(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Otherwise a session that makes a temporary table `approvals_chainhead` of its own has the functions ask that one,
    and adds what it likes. Nothing to do on SQLite, whose triggers see the tables of their own file alone."""
    if schema_editor.connection.vendor == "postgresql":
        for function in _FUNCTIONS:
            schema_editor.execute(
                "DO $$ BEGIN EXECUTE format('ALTER FUNCTION %I() SET search_path = %I, pg_temp', "
                f"'{function}', current_schema()); END $$",
                params=None,
            )


def remove(schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "sqlite":
        for name in _SQLITE:
            schema_editor.execute(f"DROP TRIGGER {name}", params=None)
    else:
        for name, (table, *_) in _POSTGRESQL.items():
            schema_editor.execute(f"DROP TRIGGER {name} ON {table}", params=None)
        for function in _FUNCTIONS:
            schema_editor.execute(f"DROP FUNCTION {function}()", params=None)
