"""howdah.heartbeat, leave, drain and kill: any process in any language can be a worker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest


def test_a_name_registers_a_worker(door):
    worker = uuid4()

    control = door.beat(worker, name="w", host="h")

    assert control.action == "go"
    assert door.rows("select id, name, host from howdah.workers") == [(worker, "w", "h")]


def test_without_a_name_an_unknown_worker_is_told_that_it_was_swept(door):
    control = door.beat(uuid4())

    assert control.action == "swept"
    assert door.rows("select id from howdah.workers") == []


def test_beating_again_moves_the_beat_and_not_the_start(door, clock):
    worker = door.worker()
    clock.forward("10 s")

    door.beat(worker)
    [row] = door.rows("select * from howdah.workers")

    assert 9 < (row.beat_at - row.started_at).total_seconds() < 12


def test_a_beat_that_says_its_name_again_registers_no_second_row(door):
    """S-6."""
    worker = door.worker("w", slots=3)

    door.beat(worker, name="w", slots=3)

    assert door.one("select count(*) from howdah.workers") == 1


@pytest.mark.parametrize("verb", ["drain", "kill"])
def test_a_worker_is_told_to_drain_or_to_be_killed(door, verb):
    worker, other = door.worker("a"), door.worker("b")

    told = door.value(verb, worker=worker)

    assert told == 1
    assert door.beat(worker).action == verb
    assert door.beat(other).action == "go"
    assert door.one("select control from howdah.workers where id = %s", worker) == verb


@pytest.mark.parametrize(
    ("whom", "told"),
    [({"name": "web-*"}, 2), ({"host": "h1"}, 2), ({"version": "2"}, 1), ({"name": "web-1"}, 1),
     ({"name": "web-*", "host": "h1"}, 1), ({"name": "none"}, 0), ({"name": "*"}, 3)],
    ids=str,
)  # fmt: skip
def test_workers_are_picked_by_name_pattern_host_or_version(door, whom, told):
    door.worker("web-1", host="h1", version="1")
    door.worker("web-2", host="h2", version="2")
    door.worker("batch", host="h1", version="1")

    assert door.value("drain", **whom) == told


SAID_AND_TOLD = [
    (["drain"], "drain"), (["kill"], "kill"), (["now"], "now"), (["kill", "kill"], "now"),
    (["drain", "drain"], "drain"), (["drain", "kill"], "kill"), (["drain", "kill", "kill"], "now"),
    (["drain", "now"], "now"), (["kill", "drain"], "kill"), (["now", "drain"], "now"),
    (["now", "kill"], "now"), (["kill", "kill", "kill"], "now"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "told"), SAID_AND_TOLD, ids=str)
def test_what_is_said_later_never_means_more_time(door, said, told):
    worker, other = door.worker("a"), door.worker("b")

    counts = [
        door.value("kill", name="a", now=True) if word == "now" else door.value(word, name="a")
        for word in said
    ]

    assert (door.beat(worker).action, door.beat(other).action) == (told, "go")
    assert counts == [
        0 if told != "drain" and n and w == "drain" else 1 for n, w in enumerate(said)
    ]


@pytest.mark.parametrize("now", [None, False, True])
def test_a_kill_at_once_picks_its_workers_too(door, refused, now):
    worker = door.worker("a", version="1")

    with refused("JQ001"):
        door.value("kill", now=now)
    door.value("kill", version="1", now=now)

    assert door.beat(worker).action == ("now" if now else "kill")


@pytest.mark.parametrize("verb", ["drain", "kill"])
def test_telling_nobody_in_particular_is_refused(door, refused, verb):
    worker = door.worker()

    with refused("JQ001"):
        door.value(verb)

    assert door.beat(worker).action == "go"


def test_workers_that_start_later_are_not_affected(door):
    door.worker("web-1")
    door.value("drain", name="web-*")

    later = door.worker("web-1")

    assert door.beat(later).action == "go"


def test_leases_that_a_worker_does_not_state_are_released_uncharged(door):
    worker = door.worker()
    door.enqueue_json({"task": "arrived"}, {"task": "lost on the way"})
    arrived, lost = door.take(worker=worker), door.take(worker=worker)

    door.beat(worker, leases=[arrived.lease])

    assert door.state(arrived.id) == "running"
    assert (door.state(lost.id), door.job(lost.id).attempt, door.job(lost.id).crashes) == (
        "ready",
        0,
        0,
    )
    assert door.finish([lost]) == {lost.id: "lost"}


def test_a_statement_that_arrives_after_a_younger_one_releases_nothing(door):
    """Its connection was lost, and its claim is younger than it."""
    worker = door.worker()
    door.beat(worker, leases=[], stated=2)
    door.enqueue()
    job = door.take(worker=worker)

    door.beat(worker, leases=[], stated=1)
    door.beat(worker, leases=[], stated=2)
    after_late_ones = door.state(job.id)
    door.beat(worker, leases=[], stated=3)

    assert (after_late_ones, door.state(job.id)) == ("running", "ready")


def test_a_younger_statement_waits_for_one_that_is_under_way(door, another_door, waits_for_lock):
    worker, late, young = door.worker(), another_door(), another_door()
    late.rows("begin")
    late.beat(worker, leases=[], stated=1)

    with ThreadPoolExecutor() as aside:
        stated = aside.submit(young.beat, worker, leases=[], stated=2)
        waits_for_lock(young)
        late.rows("commit")

        assert stated.result().action == "go"


def test_a_worker_that_holds_nothing_says_so_with_an_empty_list(door):
    worker = door.worker()
    door.enqueue()
    job = door.take(worker=worker)

    door.rows("select howdah.heartbeat(%s, leases => '{}')", worker)

    assert door.state(job.id) == "ready"


def test_a_worker_that_states_no_leases_keeps_them(door):
    worker = door.worker()
    door.enqueue()
    job = door.take(worker=worker)

    door.beat(worker)

    assert door.state(job.id) == "running"


def test_the_leases_of_others_are_not_released(door):
    mine, other = door.worker("mine"), door.worker("other")
    door.enqueue_json({"task": "a"}, {"task": "b"})
    theirs, without = door.take(worker=other), door.take()

    door.rows("select howdah.heartbeat(%s, leases => '{}')", mine)

    assert [door.state(theirs.id), door.state(without.id)] == ["running", "running"]


def test_a_worker_that_leaves_hands_everything_back_uncharged(door):
    worker = door.worker()
    door.enqueue_json(*[{"task": "t"}] * 3)
    jobs = door.claim(3, worker=worker)

    left = door.value("leave", worker=worker)

    assert left is True
    assert [(door.state(job.id), door.job(job.id).attempt) for job in jobs] == [("ready", 0)] * 3
    assert door.rows("select id from howdah.workers") == []


def test_who_is_not_there_cannot_leave(door):
    assert door.value("leave", worker=uuid4()) is False


def test_the_next_due_time_is_told(door):
    worker = door.worker()
    before = door.beat(worker).next_due_in

    door.enqueue(delay="10 min")
    door.enqueue(delay="20 min")

    assert before is None
    assert 590 < door.beat(worker).next_due_in.total_seconds() <= 600


def test_a_worker_hears_whether_its_queues_hold_work(door):
    worker = door.worker(queues=["a*"])
    nothing = door.beat(worker).work

    door.enqueue(queue="b")
    elsewhere = door.beat(worker).work
    door.enqueue(queue="a1")

    assert (nothing, elsewhere, door.beat(worker).work) == (False, False, True)


def test_requests_to_cancel_are_told_until_the_job_has_ended(door):
    worker = door.worker()
    door.enqueue_json(*[{"task": "t"}] * 3)
    jobs = door.claim(3, worker=worker)
    for job in jobs[:2]:
        door.value("cancel", id=job.id)

    first = door.beat(worker).cancel
    again = door.beat(worker).cancel
    door.finish(jobs[:1], outcomes=["cancelled"])

    assert {*first} == {*again} == {jobs[0].id, jobs[1].id}
    assert door.beat(worker).cancel == [jobs[1].id]


def test_a_null_worker_is_refused(door, refused):
    with refused("JQ001"):
        door.call("heartbeat", worker=None, name="w")


@pytest.mark.parametrize("lost_after", ["300000 years", "11 years", "0", "-1 day"])
def test_a_lost_after_without_sense_is_refused(door, refused, lost_after):
    with refused("JQ001"):
        door.worker(lost_after=lost_after)
    door.chores()

    assert door.rows("select id from howdah.workers") == []


def test_a_worker_may_be_silent_for_ten_years(door):
    worker = door.worker(lost_after="10 years")
    door.enqueue()
    job = door.take(worker=worker)

    door.chores()

    assert [row.id for row in door.rows("select id from howdah.running")] == [job.id]
    assert door.beat(worker).action == "go"
