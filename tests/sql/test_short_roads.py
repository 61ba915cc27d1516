"""One queue and one priority that is known: a claim's short roads lead where the long ones do."""

from __future__ import annotations

import pytest

PUT = """
insert into _howdah.job (seq, created_at, priority, id, state, lease, queue, task, args)
values (%s, now(), %s, gen_random_uuid(), %s, case when %s = 'x' then gen_random_uuid() end,
        %s, %s, '{}')
"""
ONE = "array[row('q', 0, %s)::_howdah.floor]"
BESIDE = "array[row('q', 0, %s)::_howdah.floor, row('none', 0, 7)::_howdah.floor]"  # no short road

TOLD = "select _howdah.left_behind(12, '{q}', FLOORS, %s::_howdah.head[], '{t}', '{}')"


@pytest.fixture
def laid_out(door, chance):
    """Jobs of the queue q, up to all there may be: other priorities, queues, states, a front."""

    def laid_out():
        door.rows("delete from _howdah.job")
        others = chance.random() < 0.4
        seqs = chance.sample(range(-4, 20), chance.randint(0, 6))
        for seq in seqs:
            state = chance.choice("rrrx")
            priority = chance.choice((0, 0, -1, 1)) if others else 0
            queue = chance.choice(("q", "q", "q", "a", "q2", "z")) if others else "q"
            door.rows(PUT, seq, priority, state, state, queue, chance.choice("tu"))
        door.rows("delete from _howdah.queue")
        if chance.random() < 0.5:
            door.value("pause", queue=chance.choice("qa"))
        return chance.randint(0, 15)

    return laid_out


ROUNDS = 60


def test_where_the_jobs_of_one_known_priority_are(door, laid_out):
    found = set()
    for _ in range(ROUNDS):
        floor = laid_out()
        short, long = (
            door.one(f"select _howdah.heads({floors}, '{{q}}', 10)::text[]", floor)
            for floors in (ONE, BESIDE)
        )
        assert short == long
        found.add(len(short))

    assert {0, 1, 2} <= found


def test_what_a_claim_of_one_known_priority_left_behind(door, laid_out):
    found = set()
    for _ in range(ROUNDS):
        floor = laid_out()
        heads = door.one(f"select _howdah.heads({ONE}, '{{q}}', 10)::text", floor)
        door.rows(
            "update _howdah.job set state = 'x', lease = gen_random_uuid() where mod(seq, 3) = 0"
        )
        short, long = (
            door.one(TOLD.replace("FLOORS", floors), floor, heads) for floors in (ONE, BESIDE)
        )
        assert sorted(short, key=str) == sorted(long, key=str)
        found.update(each[2] is None for each in short)

    assert found == {True, False}


def test_which_queues_hold_jobs_beside_the_known_one(door, laid_out):
    found = set()
    for _ in range(ROUNDS):
        laid_out()
        for look in (True, False):
            short, long = (
                door.one("select _howdah.sources('{*}', null, %s, %s)", known, look)
                for known in (["q"], ["q", "none"])
            )
            assert sorted([*short, "none"]) == sorted(long)
            found.add((look, *short))

    assert {(True,), (False,), (True, "q"), (False, "q")} < found
    assert any({"a", "z"} & set(each) for each in found)
