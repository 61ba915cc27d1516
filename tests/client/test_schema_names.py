"""Which names a schema may have: those that PostgreSQL takes without quotes."""

from __future__ import annotations

import psycopg

from howdah.sql import KEY_WORDS


def test_every_word_that_this_postgresql_reserves_is_refused(db: psycopg.Connection) -> None:
    found = db.execute("select word from pg_get_keywords() where catcode <> 'U'").fetchall()

    assert {word for (word,) in found} - KEY_WORDS == set()
