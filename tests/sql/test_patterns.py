"""Patterns of queue and task names: a trailing * and nothing else."""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest

NAMES = ["a", "ab", "a.b", "a_b", "axb", "a%b", "ab\\c", "b", "A"]


def matching(pattern):
    if pattern.endswith("*"):
        return sorted(name for name in NAMES if name.startswith(pattern[:-1]))
    return [name for name in NAMES if name == pattern]


PATTERNS = ["a", "a*", "*", "a_b", "a_*", "a%b", "a%*", "ab\\c", "ab\\*", "a.*", "A*", "b", "c*"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_queue_patterns_take_what_they_say(door, pattern):
    door.enqueue_json(*[{"task": "t", "queue": name} for name in NAMES])

    claimed = door.claim(99, queues=[pattern])

    assert sorted(job.queue for job in claimed) == matching(pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_task_patterns_take_what_they_say(door, pattern):
    door.enqueue_json(*[{"task": name} for name in NAMES])

    claimed = door.claim(99, tasks=[pattern])

    assert sorted(job.task for job in claimed) == matching(pattern)


def test_a_job_of_another_task_at_the_head_hides_nobody(door):
    door.enqueue_json(*[{"task": "other", "priority": 5}] * 30, {"task": "mine"})

    claimed = door.claim(5, tasks=["mine"])

    assert [job.task for job in claimed] == ["mine"]


def test_several_patterns_take_the_union_in_order(door):
    for name in ("mail.a", "sms", "push.x", "mail.b"):
        door.enqueue(queue=name)

    claimed = door.claim(9, queues=["mail.*", "sms"])

    assert [job.queue for job in claimed] == ["mail.a", "sms", "mail.b"]


@pytest.mark.parametrize("pattern", ["", "x" * 200, None], ids=["empty", "too long", "null"])
@pytest.mark.parametrize("what", ["queues", "tasks"])
def test_patterns_that_no_name_could_match_take_nothing(door, what, pattern):
    door.enqueue()

    with suppress(psycopg.DatabaseError):  # refusing them is as good
        claimed = door.rows(f"select * from howdah.claim({what} => %s::text[], n => 3)", [pattern])
        assert claimed == []

    assert door.take().attempt == 1


def test_queues_are_excepted_by_patterns_and_names(door):
    names = ["sms.a", "sms.b", "sms", "mail", "mail.a", "push"]
    door.enqueue_json(*[{"task": "t", "queue": name} for name in names])

    claimed = door.claim(99, queues=["*"], except_queues=["sms.*", "mail"])

    assert [job.queue for job in claimed] == ["sms", "mail.a", "push"]


def test_a_pattern_that_excepts_all_leaves_nothing(door):
    door.enqueue(queue="mail")

    claimed = door.claim(99, queues=["*"], except_queues=["*"])

    assert claimed == []
