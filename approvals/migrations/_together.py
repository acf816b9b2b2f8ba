"""Several operations as one."""

from django.db.migrations.operations.base import Operation


class Together(Operation):
    """For each operation, Django renders anew every model that hangs together with the one it changes, and through
    accounts nearly all of ours do: most of what a migration costs. Within this one, they are rendered once.

    Fields are added outside: SQLite makes their table anew with the columns that it had before all of these operations.
    """

    def __init__(self, *operations):
        self.operations = operations

    def describe(self):
        return "; ".join(operation.describe() for operation in self.operations)

    def state_forwards(self, app_label, state):
        # Without what was rendered, operations change the state alone, and the first to ask renders it whole.
        state.__dict__.pop("apps", None)
        state.is_delayed = False
        for operation in self.operations:
            operation.state_forwards(app_label, state)

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        for operation in self.operations:
            operation.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        for operation in reversed(self.operations):
            operation.database_backwards(app_label, schema_editor, from_state, to_state)
