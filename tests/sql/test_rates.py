"""Rates: at most so many jobs of a key start in any span of time, in the whole fleet."""

from __future__ import annotations

import pytest


def test_at_most_so_many_start_in_a_span_and_the_rest_when_it_has_passed(own_door):
    own_door.call("put_rate", key="api", n=4, per="10 seconds", burst=4)
    ids = [own_door.enqueue(limit_keys=["api"], no_timeout=True) for _ in range(9)]

    assert [job.id for job in own_door.claim(10)] == ids[:4]
    assert own_door.claim(10) == []
    assert "rate limit: next at" in own_door.why(ids[8])

    own_door.forward("11 seconds")
    assert [job.id for job in own_door.claim(10)] == ids[4:8]
    own_door.forward("11 seconds")
    assert [job.id for job in own_door.claim(10)] == ids[8:]


def test_a_burst_is_less_than_the_whole(own_door):
    own_door.call("put_rate", key="api", n=10, per="10 seconds", burst=2)
    for _ in range(10):
        own_door.enqueue(limit_keys=["api"], no_timeout=True)

    got = []
    for _ in range(4):
        got.append(len(own_door.claim(10)))
        own_door.forward("2.1 seconds")

    assert got == [2, 2, 2, 2]


def test_a_rate_and_a_limit_of_one_key(own_door):
    own_door.call("put_rate", key="k", n=5, per="1 minute", burst=5)
    own_door.call("put_limit", key="k", n=2)
    for _ in range(9):
        own_door.enqueue(limit_keys=["k"], no_timeout=True)

    first = own_door.claim(10)
    assert len(first) == 2
    for job in first:
        own_door.ack(job)
    second = own_door.claim(10)
    assert len(second) == 2
    for job in second:
        own_door.ack(job)

    assert len(own_door.claim(10)) == 1


def test_others_pass_by_a_key_whose_rate_is_used_up(door):
    door.call("put_rate", key="a", n=1, per="1 hour")
    for _ in range(3):
        door.enqueue(limit_keys=["a"])
    plain = door.enqueue()

    assert len(door.claim(10)) == 2
    assert door.claim(10) == []
    assert door.state(plain) == "running"


def test_a_rate_taken_away_lets_all_go_on(door):
    door.call("put_rate", key="task:work", n=1, per="1 hour")
    for _ in range(3):
        door.enqueue()
    assert len(door.claim(10)) == 1

    door.call("put_rate", key="task:work", n=None)

    assert len(door.claim(10)) == 2


def test_a_lowered_rate_holds_for_jobs_that_were_let_in_and_keeps_nobody_else_waiting(door):
    door.call("put_rate", key="a", n=50, burst=50)
    for _ in range(30):
        door.enqueue(limit_keys=["a"])
    door.one("select howdah.admit()")
    door.call("put_rate", key="a", n=1, per="1 hour")
    plain = door.enqueue()

    claimed = [job.id for job in door.claim(10)]

    assert len(claimed) == 2
    assert plain in claimed
    assert door.claim(10) == []


def test_who_may_not_start_yet_goes_back_and_others_pass_by(own_door, another_door):
    door, other = own_door, another_door(own_door.connection.info.dsn)
    door.call("put_rate", key="a", n=5, burst=5)
    ids = [door.enqueue(queue=f"q{n}", limit_keys=["a"]) for n in range(3)]
    door.one("select howdah.admit()")
    with other.transaction():
        other.take(queues=["q0"])  # and the key is locked
        behind = door.enqueue(queue="q1")
        assert door.state(ids[1]) == "ready"
        assert door.take(queues=["q1"]).id == behind

    assert {job.id for job in door.claim(10)} == {*ids[1:]}


def test_a_job_that_is_late_for_one_rate_does_not_count_for_another(own_door, another_door):
    door, other = own_door, another_door(own_door.connection.info.dsn)
    door.call("put_rate", key="a", n=1, per="2 seconds")
    door.call("put_rate", key="b", n=5, burst=5)
    door.enqueue(queue="other", limit_keys=["b"])
    both = door.enqueue(queue="q", limit_keys=["a", "b"])
    while door.state(both) != "ready":
        door.one("select howdah.admit()")
    with other.transaction():
        other.take(queues=["other"])
        assert door.claim(10, queues=["q"]) == []
        door.forward("3 seconds")
    door.enqueue(queue="q", limit_keys=["a"])

    assert len(door.claim(10) + door.claim(10)) == 1


def test_a_start_that_is_reserved_keeps_the_rest_no_longer_waiting_than_it_must(own_door):
    door = own_door
    door.call("put_rate", key="a", n=2, per="10 seconds", burst=2)
    ids = [door.enqueue(limit_keys=["a"]) for _ in range(5)]
    door.take()
    assert [door.state(job_id) for job_id in ids].count("ready") == 1
    assert "have not started: " + str(ids[1]) in door.why(ids[2])

    door.forward("11 seconds")
    door.chores("admit")

    assert [door.state(job_id) for job_id in ids].count("ready") == 2
    door.claim(1)
    door.forward("11 seconds")
    assert len(door.claim(10)) == 2


def test_a_rate_that_was_too_low_for_what_was_reserved_goes_on_after_the_claim(own_door):
    door = own_door
    door.call("put_rate", key="a", n=2, per="10 seconds", burst=2)
    ids = [door.enqueue(limit_keys=["a"]) for _ in range(4)]
    for _ in range(2):
        door.take()
        door.forward("11 seconds")

    assert len(door.claim(10)) == 2
    assert [door.state(job_id) for job_id in ids] == ["running"] * 4


def test_a_used_up_rate_is_noted_once_however_many_ask(door):
    door.call("put_rate", key="a", n=1, per="1 hour")
    for _ in range(20):
        door.enqueue(limit_keys=["a"])
        door.claim(10)

    noted = "select count(*) from _howdah.pending where kind = 'l' and due is not null"
    assert door.one(noted) == 1


def test_a_rate_that_is_taken_away_and_put_back_counts_from_then(own_door):
    door = own_door
    door.call("put_rate", key="a", n=1)
    door.enqueue(limit_keys=["a"])
    door.one("select howdah.admit()")
    door.call("put_rate", key="a", n=None)
    door.take()

    door.call("put_rate", key="a", n=1)
    door.enqueue(limit_keys=["a"])

    assert len(door.claim(10)) == 1


def test_a_rate_that_is_put_while_a_claim_is_under_way_reserves_nothing_for_it(
    door, another_door, eventually
):
    other = another_door()
    door.call("put_limit", key="a", n=5)
    door.enqueue(limit_keys=["a"])
    door.one("select howdah.admit()")
    with other.transaction():
        other.take()
        door.connection.execute("set statement_timeout = '5s'")
        door.call("put_rate", key="a", n=1)
    door.enqueue(limit_keys=["a"])

    eventually(lambda: door.claim(10))
    assert door.one("select count(*) from _howdah.place where unstarted") == 0


@pytest.mark.parametrize(
    "options",
    [{"n": 0}, {"n": 5, "burst": 6}, {"n": 1, "per": "-1 s"}, {"n": 1, "key": "a*b"}],
)
def test_bad_rates_are_refused(door, refused, options):
    with refused("JQ001"):
        door.call("put_rate", **{"key": "k", **options})
