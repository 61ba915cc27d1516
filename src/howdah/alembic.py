"""`op.howdah_upgrade()` and `op.howdah_downgrade()` for Alembic's migrations."""

from __future__ import annotations

from typing import Any

from alembic.operations import MigrateOperation, Operations

from howdah import blocking
from howdah.errors import BadInput
from howdah.settings import default_schema


@Operations.register_operation("howdah_upgrade")
class Upgrade(MigrateOperation):
    """Installs howdah's schema, or brings it to the version of the package."""

    def __init__(self, schema: str | None = None) -> None:
        self.schema = schema or default_schema()

    @classmethod
    def howdah_upgrade(cls, operations: Operations, schema: str | None = None) -> Any:
        """In the migration's own transaction: `op.howdah_upgrade()`."""
        return operations.invoke(cls(schema))

    def reverse(self) -> MigrateOperation:
        """What undoes it."""
        return Downgrade(self.schema)


@Operations.register_operation("howdah_downgrade")
class Downgrade(MigrateOperation):
    """Drops howdah's schema with all jobs and their history."""

    def __init__(self, schema: str | None = None) -> None:
        self.schema = schema or default_schema()

    @classmethod
    def howdah_downgrade(cls, operations: Operations, schema: str | None = None) -> Any:
        """Of the migration that installed it first; later ones have nothing to undo."""
        return operations.invoke(cls(schema))


@Operations.implementation_for(Upgrade)
def _upgrade(operations: Operations, wanted: Upgrade) -> None:
    blocking.upgrade(_bind(operations), wanted.schema)


@Operations.implementation_for(Downgrade)
def _downgrade(operations: Operations, wanted: Downgrade) -> None:
    blocking.remove(_bind(operations), wanted.schema)


def _bind(operations: Operations) -> Any:
    if operations.get_context().as_sql:
        raise BadInput(
            "howdah's schema cannot go into Alembic's SQL script: it looks at what is there",
            hint="Run: howdah db sql, and put its script beside Alembic's.",
        )
    return operations.get_bind()
