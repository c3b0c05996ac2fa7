"""The migration's one operation: the library's tables, in SQL of its own, with their partial indexes."""

from typing import Any

from django.db import router
from django.db.migrations.operations.base import Operation

from eventbus.errors import ConfigurationError
from eventbus.sql.schema import statements
from eventbus.sql.tables import VERSION


class MakeTables(Operation):
    """Makes the tables of outbox and inbox where they are missing; what is there stays."""

    reduces_to_sql = True
    reversible = False

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: the model is the migration's second operation."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Make them.

        Raises:
            ConfigurationError: the database is of another kind, or holds tables of another version.
        """
        connection = schema_editor.connection
        if not router.allow_migrate(connection.alias, app_label):
            return
        if connection.vendor not in ("sqlite", "postgresql"):
            raise ConfigurationError(
                f"eventbus.django: database {connection.alias!r} is {connection.vendor}; give sqlite or postgresql, or let "
                "a database router keep the app away from it"
            )
        with connection.cursor() as cursor:
            if "eventbus_schema" in connection.introspection.table_names(cursor):
                cursor.execute("SELECT version FROM eventbus_schema WHERE name = 'eventbus'")
                if (found := cursor.fetchone()) != (VERSION,):
                    raise ConfigurationError(
                        f"tables eventbus_* of database {connection.alias!r} have version {found}, and {VERSION} is needed; "
                        "run eventbus outbox tables --create --database URL"
                    )
                return
        for statement in statements(connection.vendor):
            schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        """Return what `migrate --plan` shows."""
        return "Make the tables eventbus_*"
