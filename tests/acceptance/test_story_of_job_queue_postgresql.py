"""A user of job_queue_PostgreSQL: a process beats, asks for its job, starts the next one."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest


def beat(db: psycopg.Connection, me: UUID, version: str = "1.0.0") -> str:
    [(action,)] = db.execute(
        "select action from howdah.heartbeat(%s, name => 'classification',"
        " host => 'a-host-name-of-36-characters-in-all-1',"
        " version => %s, tasks => %s)",
        [me, version, [f"classification:{version}"]],
    ).fetchall()
    return str(action)


def find_job(
    db: psycopg.Connection, me: UUID, version: str = "1.0.0"
) -> list[tuple[UUID, UUID, str]]:
    return db.execute(
        "select id, lease, args->>'file' from howdah.claim(null, 1, worker => %s, tasks => %s)",
        [me, [f"classification:{version}"]],
    ).fetchall()


def test_a_process_beats_takes_its_job_and_starts_the_next_one(db: psycopg.Connection) -> None:
    """S-6, S-7."""
    me = uuid4()
    db.execute("""select howdah.enqueue('classification:1.0.0', '{"file": "a"}')""")

    action = beat(db, me)
    [(job_id, lease, file)] = find_job(db, me)
    with db.transaction():
        db.execute("""select howdah.enqueue('upload:1.0.0', '{"file": "a.json"}')""")
        db.execute("select howdah.ack(%s, %s)", [job_id, lease])

    assert (action, file) == ("go", "a")
    assert db.execute("select task, state from howdah.jobs order by task").fetchall() == [
        ("classification:1.0.0", "succeeded"),
        ("upload:1.0.0", "ready"),
    ]


def test_a_process_of_another_version_is_not_served(db: psycopg.Connection) -> None:
    old, new = uuid4(), uuid4()
    beat(db, old)
    beat(db, new, "9.1.0")
    db.execute("""select howdah.enqueue('classification:1.0.0', '{"file": "a"}')""")

    found = [len(find_job(db, new, "9.1.0")), len(find_job(db, old))]

    assert found == [0, 1]


def test_higher_numbers_go_first(db: psycopg.Connection) -> None:
    me = uuid4()
    beat(db, me)
    for priority in (-100, -90, -200):  # theirs, where the lower goes first, negated
        db.execute(
            "select howdah.enqueue('classification:1.0.0', "
            " jsonb_build_object('file', %s::text), priority => %s)",
            [str(-priority), priority],
        )

    taken = [find_job(db, me)[0][2] for _ in range(3)]

    assert taken == ["90", "100", "200"]


def test_the_kill_switch_is_heard_with_each_next_beat_and_by_nobody_else(
    db: psycopg.Connection,
) -> None:
    """S-7, S-11, PIPE-08."""
    one, other, newer = uuid4(), uuid4(), uuid4()
    beat(db, one)
    beat(db, other, "9.1.0")

    told = db.execute("select howdah.kill(name => 'classification', version => '1.0.0')").fetchone()

    assert told == (1,)
    assert [beat(db, one), beat(db, one), beat(db, other)] == ["kill", "kill", "go"]
    assert beat(db, newer) == "go"


@pytest.mark.parametrize("payload", ['it\'s "ü" \\', "x" * 1_000_000])
def test_a_payload_travels_unchanged(db: psycopg.Connection, payload: str) -> None:
    me = uuid4()
    beat(db, me)
    db.execute(
        "select howdah.enqueue('classification:1.0.0', jsonb_build_object('file', %s::text))",
        [payload],
    )

    [(_, _, file)] = find_job(db, me)

    assert file == payload


def test_a_job_given_back_is_taken_again_exactly_once(db: psycopg.Connection) -> None:
    me, other = uuid4(), uuid4()
    beat(db, me)
    beat(db, other)
    db.execute("""select howdah.enqueue('classification:1.0.0', '{"file": "a"}')""")
    [(job_id, lease, _)] = find_job(db, me)

    db.execute("select howdah.release(%s, %s)", [job_id, lease])
    found = [len(find_job(db, other)), len(find_job(db, me))]

    assert found == [1, 0]
