"""Fair shares: a queue served in rounds over its keys; and priorities that rise with waiting."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from psycopg.types.json import Jsonb


def enqueue(door, tenant: str, n: int = 1) -> None:
    door.enqueue_json(*[{"task": "t", "queue": "q", "args": {"tenant": tenant}}] * n)


def tenants(jobs) -> list[str]:
    return [job.args["tenant"] for job in jobs]


def test_keys_are_served_in_turn_whatever_their_backlogs(door):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    enqueue(door, "big", 50)
    enqueue(door, "a", 2)
    enqueue(door, "b", 2)

    assert sorted(tenants(door.claim(3))) == ["a", "b", "big"]
    assert sorted(tenants(door.claim(3))) == ["a", "b", "big"]
    assert tenants(door.claim(3)) == ["big"] * 3


def test_who_comes_late_is_served_in_the_next_round_and_saves_nothing_up(door):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    enqueue(door, "big", 50)
    door.claim(10)

    enqueue(door, "late", 5)

    assert Counter(tenants(door.claim(4))) == {"big": 2, "late": 2}


def test_weights(door):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    door.call("put_share", queue="q", key="a", weight=3)
    enqueue(door, "a", 50)
    enqueue(door, "b", 50)

    assert Counter(tenants(door.claim(16))) == {"a": 12, "b": 4}


def test_first_come_and_greatest_priority_within_a_key(door):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    for n, priority in ((1, 0), (2, 5), (3, 0)):
        door.enqueue("t", queue="q", args=Jsonb({"tenant": "a", "n": n}), priority=priority)

    assert [job.args["n"] for job in door.claim(3)] == [2, 1, 3]


def test_all_are_served_and_nothing_is_left(door):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    for tenant in "abcde":
        enqueue(door, tenant, 7)
    door.call("put_limit", key="queue:q", n=3)

    seen = Counter()
    while claimed := door.claim(10):
        assert len(claimed) <= 3
        seen.update(tenants(claimed))
        for job in claimed:
            door.ack(job)

    assert seen == dict.fromkeys("abcde", 7)
    assert door.one("select count(*) from _howdah.share where active") == 0


def test_a_claim_looks_at_as_many_keys_as_it_wants_jobs(door):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    jobs = [{"task": "t", "queue": "q", "args": {"tenant": f"{n:03}"}} for n in range(300)]
    looked = """
        select sum(pg_stat_get_xact_tuples_returned(c.oid))
        from pg_class c left join pg_index i on i.indexrelid = c.oid
        where coalesce(i.indrelid, c.oid) in ('_howdah.job'::regclass, '_howdah.share'::regclass)"""
    door.rows("vacuum analyze _howdah.share")  # while nothing is there
    door.rows("begin")
    counts = [door.one(looked)]

    door.enqueue_json(*jobs, *jobs)
    assert tenants(door.claim(1)) == ["000"]
    counts.append(door.one(looked))
    served = [tenant for _ in range(10) for tenant in tenants(door.claim(3))]
    counts.append(door.one(looked))

    at_first, then = (after - before for before, after in pairwise(counts))
    assert at_first < 20_000  # some for each job, not for each two of them
    assert served == [f"{n:03}" for n in range(1, 31)]
    assert then < 20_000  # a walk over all keys in each claim is fifty times that
    door.rows("commit")


@pytest.mark.parametrize("what", ["cancelled", "about to be cancelled"])
def test_keys_that_have_none_to_give_keep_nobody_waiting(door, another_door, what):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    for n in range(30):
        enqueue(door, f"{n:02}")
    other = door if what == "cancelled" else another_door()
    other.rows("begin")
    other.rows("select howdah.cancel(id) from howdah.jobs where args ->> 'tenant' < '29'")
    if what == "cancelled":
        other.rows("commit")

    assert tenants(door.claim(1)) == ["29"]
    assert door.claim(1) == []
    if what == "about to be cancelled":
        other.rows("rollback")
        assert tenants(door.claim(2)) == ["00", "01"]


def test_a_key_of_little_weight_keeps_nobody_behind_it_waiting(door):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    door.call("put_share", queue="q", key="a", weight=0.01)
    enqueue(door, "a", 5)
    enqueue(door, "b", 5)

    assert [tenants(door.claim(1)) for _ in range(6)] == [*[["b"]] * 5, ["a"]]


def test_a_released_and_a_retried_job_come_back_behind_their_gate(own_door):
    own_door.call("put_queue", queue="q", fair_by="{tenant}")
    enqueue(own_door, "a", 2)
    first, second = own_door.claim(2)
    own_door.release(first)
    own_door.nack(second, retry_in="1 second")
    assert own_door.state(first.id) == "blocked"
    assert "waiting for the turn of a in queue q" in own_door.why(first.id)

    assert [job.id for job in own_door.claim(5)] == [first.id]
    own_door.forward("2 seconds")
    assert [job.id for job in own_door.claim(5)] == [second.id]


def test_a_job_without_the_argument_is_refused(door, refused):
    door.call("put_queue", queue="q", fair_by="{tenant}")

    with refused("JQ001", "needs the argument tenant"):
        door.enqueue("t", queue="q")


@pytest.mark.parametrize("options", [{"fair_by": "tenant"}, {"age_after": "-1 s"}])
def test_bad_settings_of_a_queue_are_refused(door, refused, options):
    with refused("JQ001"):
        door.call("put_queue", queue="q", **options)


def test_priority_rises_with_waiting(own_door):
    own_door.call("put_queue", queue="q", age_after="1 minute")
    old = own_door.enqueue(queue="q", priority=0)
    own_door.forward("61 seconds")
    own_door.chores("age")
    assert own_door.job(old).priority == 1
    own_door.chores("age")
    assert own_door.job(old).priority == 1
    own_door.forward("121 seconds")
    own_door.chores("age")
    own_door.chores("age")
    fresh = own_door.enqueue(queue="q", priority=2)

    assert own_door.job(old).priority == 3
    assert [job.id for job in own_door.claim(2)] == [old, fresh]


@pytest.mark.parametrize("how", ["limited", "fair"])
def test_priority_rises_while_a_job_is_blocked(own_door, how):
    own_door.call("put_queue", queue="q", age_after="1 minute")
    if how == "limited":
        own_door.call("put_limit", key="queue:q", n=1)
    else:
        own_door.call("put_queue", queue="q", fair_by="{tenant}")
    job = {"queue": "q", "args": Jsonb({"tenant": "a"})}
    urgent = own_door.enqueue(**job, priority=9)
    old, older = own_door.enqueue(**job, priority=1), own_door.enqueue(**job, priority=0)
    own_door.forward("121 seconds")
    fresh = own_door.enqueue(**job, priority=2)
    own_door.call("put_limit", key="unrelated", n=1)
    other = own_door.enqueue(limit_keys=["unrelated"])
    own_door.enqueue(limit_keys=["unrelated"])

    raised = [own_door.chores("age") for _ in range(3)]

    assert raised == [{"age": 3}, {"age": 3}, {"age": 0}]
    assert [own_door.job(each).priority for each in (old, older, fresh, other)] == [3, 2, 2, 0]
    first = own_door.take(queues=["q"])
    own_door.ack(first)
    assert [first.id, own_door.take(queues=["q"]).id] == [urgent, old]


def test_other_queues_do_not_age(own_door):
    job = own_door.enqueue()
    own_door.forward("1 hour")

    assert own_door.chores("age") == {"age": 0}
    assert own_door.job(job).priority == 0
