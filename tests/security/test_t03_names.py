"""T03, T27: whatever a name looks like, it is a name: in SQL, in lists, patterns, notifications."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.rows import namedtuple_row

PIECES = [
    "'", "''", '"', '""', "--", ";", "$$", "$1", "%", "%s", "%L", "%I", "\\", "\\'", "E'\\''",
    "{", "}", "{schema}", "_howdah.job", "howdah.", "' or '1'='1", "'; drop table _howdah.job; --",
    '"; drop schema howdah cascade; --', "x' union select null --",
    "😀", "日本", "Ω", "é", "e\u0301",
    "\n", "\r\n", "\t", "\x1b[31m", "\u202e", "\u2028", "a b",
    " lead", "trail ", "Echo", "my-queue",
    "null", "NULL", "true", "0", "-1", "1e9", ".", "..", "../..", "/etc/passwd", "C:\\x", "~", "!",
    "?",
    "#", "&", "|", "<script>", "x" * 63, "x" * 64, "é" * 32, "x" * 120, "😀" * 120,
]  # fmt: skip
NAMES = [*PIECES, *[f"{piece}{piece}"[:120] for piece in PIECES], *[f"a{p}b"[:120] for p in PIECES]]


@pytest.fixture
def sql(dsn):
    with psycopg.connect(dsn, autocommit=True, row_factory=namedtuple_row) as connection:
        yield connection


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_t03_each_of_two_hundred_names_finds_its_own_job_and_no_other(sql, conforming):
    sql.execute(f"set standard_conforming_strings = {conforming}")
    sql.execute("set escape_string_warning = off")
    names = sorted({*NAMES} if conforming == "on" else {n for n in PIECES if "\\" in n or "'" in n})
    ids = {
        name: sql.execute(
            "select howdah.enqueue(%s, queue => %s, tags => %s, unique_key => md5(%s))",
            [name, name, [name], name],
        ).fetchone()[0]
        for name in names
    }

    for n, name in enumerate(names):
        every = ("queue", "task", "tag")
        for asked in every if name in PIECES else every[n % 3 :][:1]:
            found = sql.execute(
                f"select id from howdah.list_jobs({asked} => %s)", [name]
            ).fetchall()
            assert [row.id for row in found] == [ids[name]], (asked, name)
        [claimed] = sql.execute(
            "select id, queue, task from howdah.claim(array[%s], 9, tasks => array[%s])",
            [name, name],
        ).fetchall()
        assert (claimed.id, claimed.queue, claimed.task) == (ids[name], name, name)
    assert len(names) > (150 if conforming == "on" else 8)
    assert sql.execute("select count(*) from howdah.jobs").fetchone()[0] == len(names)


@pytest.mark.parametrize("name", PIECES[:40])
def test_t03_the_command_line_takes_them_as_names(run, sql, name):
    name = f"a{name}b"
    enqueued = run("enqueue", name, "--queue", name)
    paused = run("queues", "pause", name)
    listed = run("jobs", "list", "--queue", name, "--task", name, "--json")

    assert (enqueued.code, paused.code, listed.code) == (0, 0, 0)
    assert enqueued.out.strip() in listed.out
    assert sql.execute("select paused from howdah.queues where queue = %s", [name]).fetchone()[0]


def test_t27_a_name_is_no_part_of_a_channel_or_a_payload(sql, dsn):
    channel = sql.execute("select howdah.channel()").fetchone()[0]
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute(f'listen "{channel}"')
        for name in PIECES:
            worker = sql.execute("select gen_random_uuid()").fetchone()[0]
            sql.execute("select howdah.heartbeat(%s, name => 'w', queues => %s)", [worker, [name]])
            sql.execute("select * from howdah.claim(%s, 1, %s, idle => true)", [[name], worker])
            sql.execute("select howdah.enqueue('t', queue => %s)", [name])
            [told] = listener.notifies(timeout=5, stop_after=1)
            assert told.payload == f"w{str(worker)[:8]}", name
            sql.execute("select howdah.leave(%s)", [worker])
