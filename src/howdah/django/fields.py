"""A column of texts, without django.contrib.postgres: `Job.objects.filter(tags__has="slow")`."""

from __future__ import annotations

from typing import Any

from django.db import models


class Texts(models.Field):
    """text[]; a list in Python."""

    def db_type(self, connection: Any) -> str:
        """What the database calls it."""
        return "text[]"


@Texts.register_lookup
class Has(models.Lookup):
    """Whether a text is among them."""

    lookup_name = "has"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        """`text = any (column)`."""
        column, within = self.process_lhs(compiler, connection)
        text, given = self.process_rhs(compiler, connection)
        return f"{text} = any ({column})", [*given, *within]
