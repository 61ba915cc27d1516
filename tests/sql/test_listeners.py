"""Events and listeners at the SQL door."""

from __future__ import annotations

import json
import threading

import psycopg
import pytest
from psycopg.types.json import Jsonb


def jobs_of(door, task):
    return door.rows(
        "select id, state, queue, priority, args, headers from howdah.jobs where task = %s"
        " order by id",
        task,
    )


def test_an_event_makes_a_job_of_each_listener_that_it_fits(door):
    door.call(
        "put_listener",
        name="a",
        event="user.created",
        task="mail",
        args={"lang": "mi"},
        queue="post",
    )
    door.call("put_listener", name="b", event="user.*", task="log", priority=7)
    door.call("put_listener", name="c", event="user", task="no")

    listened = door.value("emit", event="user.created", data={"id": 7})

    [mail], [log] = jobs_of(door, "mail"), jobs_of(door, "log")
    told = mail.args["event"]
    assert listened == 2
    assert (mail.queue, mail.args["lang"], log.priority) == ("post", "mi", 7)
    assert (told["name"], told["listener"], told["data"]) == ("user.created", "a", {"id": 7})
    assert jobs_of(door, "no") == []


def test_an_event_is_part_of_the_transaction_that_emits_it(door):
    door.call("put_listener", name="a", event="*", task="mail")

    with door.transaction():
        door.value("emit", event="user.created")
        raise psycopg.Rollback

    assert jobs_of(door, "mail") == []


def test_events_are_gathered_in_one_job_while_it_waits(door):
    door.call("put_listener", name="a", event="changed", task="index", collapse=True, delay="60 s")

    for n in range(5):
        door.value("emit", event="changed", data={"n": n})

    [job] = jobs_of(door, "index")
    assert job.state == "scheduled"
    assert [event["data"]["n"] for event in job.args["events"]] == [0, 1, 2, 3, 4]


def test_what_is_emitted_while_the_job_runs_goes_into_the_next(door):
    door.call("put_listener", name="a", event="changed", task="index", collapse=True)
    door.value("emit", event="changed", data={"n": 1})
    running = door.take()

    for n in (2, 3):
        door.value("emit", event="changed", data={"n": n})

    door.ack(running)
    counts = [
        [event["data"]["n"] for event in job.args["events"]] for job in jobs_of(door, "index")
    ]
    assert counts == [[1], [2, 3]]


def test_events_are_gathered_by_a_member_of_their_data(door):
    door.call("put_listener", name="a", event="changed", task="index", collapse_on="page")

    for page in ("x", "y", "x"):
        door.value("emit", event="changed", data={"page": page})

    assert sorted(len(job.args["events"]) for job in jobs_of(door, "index")) == [1, 2]


def test_what_does_not_fit_into_the_job_that_gathers_goes_into_another(door):
    door.call("put_listener", name="a", event="big", task="index", collapse=True, delay="60 s")

    for n in (400_000, 1_000_000, 600_000, 400_000, 10):
        door.value("emit", event="big", data={"x": "y" * n})

    gathered = [[len(e["data"]["x"]) for e in job.args["events"]] for job in jobs_of(door, "index")]
    assert gathered == [[400_000], [1_000_000], [600_000], [400_000, 10]]


def test_an_event_that_no_job_can_hold_is_refused_whether_or_not_one_gathers(door):
    door.call("put_listener", name="a", event="deep", task="index", collapse=True, delay="60 s")
    deep = json.loads("[" * 70 + "]" * 70)

    for _ in range(2):
        with pytest.raises(psycopg.Error) as refused:
            door.value("emit", event="deep", data={"x": deep, "y": "z" * 600})
        door.value("emit", event="deep", data={})

        assert refused.value.sqlstate == "JQ001"
        assert "nested more than 64 deep" in str(refused.value)
    assert [len(job.args["events"]) for job in jobs_of(door, "index")] == [2]


def test_an_open_transaction_that_gathers_keeps_nobody_waiting_for_long(door, another_door):
    door.call("put_listener", name="a", event="changed", task="index", collapse=True)
    other = another_door()

    with door.transaction():
        door.value("emit", event="changed", data={"n": 1})
        other.value("emit", event="changed", data={"n": 2})

    told = [event["data"]["n"] for job in jobs_of(door, "index") for event in job.args["events"]]
    assert sorted(told) == [1, 2]


def test_each_end_of_a_job_is_an_event(door):
    """MQ-13: five completions, five jobs; failed and cancelled ends are heard too."""
    door.call("put_listener", name="good", event="job.succeeded.q.echo", task="count")
    door.call("put_listener", name="bad", event="job.failed.*", task="alarm")
    door.call("put_listener", name="gone", event="job.cancelled.*", task="alarm")
    for _ in range(5):
        door.enqueue("echo", queue="q")
    for job in door.claim(5):
        door.ack(job, result={"said": "hi"})
    door.enqueue("echo", queue="q", max_attempts=1)
    door.nack(door.take(tasks=["echo"]), error="no")
    door.value("cancel", id=door.enqueue("echo", queue="q"))

    told = [job.args["event"] for job in jobs_of(door, "count")]

    assert len(told) == 5
    assert {(e["data"]["queue"], e["data"]["task"], e["data"]["result"]["said"]) for e in told} == {
        ("q", "echo", "hi")
    }
    assert all(event["data"]["started_at"] < event["data"]["finished_at"] for event in told)
    assert [job.args["event"]["data"]["state"] for job in jobs_of(door, "alarm")] == [
        "failed",
        "cancelled",
    ]
    assert jobs_of(door, "alarm")[0].args["event"]["data"]["error"] == "no"


def test_five_ends_are_gathered_in_one_job(door):
    """MQ-13: collapsing with +60 s, one job with five events."""
    door.call(
        "put_listener", name="a", event="job.succeeded.*", task="sum", collapse=True, delay="60 s"
    )
    for _ in range(5):
        door.enqueue("echo")
    door.finish(door.claim(5))

    [job] = jobs_of(door, "sum")

    assert len(job.args["events"]) == 5


def test_a_paused_or_deleted_listener_hears_nothing(door):
    door.call("put_listener", name="a", event="job.*", task="count")
    paused = door.value("pause_listener", name="a")
    door.enqueue("echo")
    door.ack(door.take())
    resumed = door.value("resume_listener", name="a")
    deleted = door.value("delete_listener", name="a")
    door.enqueue("echo")
    door.ack(door.take())

    assert (paused, resumed, deleted) == (True, True, True)
    assert jobs_of(door, "count") == []
    with pytest.raises(psycopg.Error) as refused:
        door.value("pause_listener", name="a")
    assert refused.value.sqlstate == "JQ004"


def test_what_a_listener_does_goes_not_round_for_ever(door):
    door.call("put_listener", name="a", event="job.*", task="count")
    door.call("put_listener", name="b", event="job.*", task="count")
    door.enqueue("echo")

    ended = 0
    while ended < 50 and (jobs := door.claim(10)):
        door.finish(jobs)
        ended += len(jobs)

    assert ended == 1 + 2 + 2


@pytest.mark.parametrize(
    "result", ["[" * 62 + "]" * 62, '"' + "x" * 900_000 + '"'], ids=["deep", "large"]
)
def test_a_result_that_no_event_can_hold_is_left_out_and_the_job_ends(door, result):
    door.call("put_listener", name="a", event="job.*", task="count")
    door.enqueue("echo")

    door.ack(door.take(), result=result)

    [job] = jobs_of(door, "count")
    assert job.args["event"]["data"]["result"] is None
    assert jobs_of(door, "echo")[0].state == "succeeded"


def test_a_finish_does_not_wait_for_who_gathers(door, another_door):
    door.call("put_listener", name="a", event="job.*", task="count", collapse=True)
    door.enqueue("echo")
    job = door.take()
    other = another_door()

    with other.transaction():
        other.value("emit", event="job.of.mine")
        done = threading.Thread(target=door.finish, args=([job],))
        done.start()
        done.join(5)
        assert not done.is_alive()

    assert door.state(job.id) == "succeeded"
    assert sum(len(job.args["events"]) for job in jobs_of(door, "count")) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"event": "a*b"},
        {"event": ""},
        {"task": "*"},
        {"delay": "-1 s"},
        {"priority": 2**40},
        {"args": {"x": "y" * 500_000}},
        {"headers": {"x": "y" * 20_000}},
    ],
)
def test_what_cannot_be_a_listener_is_refused(door, options):
    with pytest.raises(psycopg.Error) as refused:
        door.call("put_listener", **{"name": "a", "event": "e", "task": "t", **options})

    assert refused.value.sqlstate == "JQ001"


def test_what_cannot_be_a_listener_cannot_be_declared_as_one(door):
    large = [{"name": "a", "event": "e", "task": "t", "args": {"x": [1] * 60_000}}]

    with pytest.raises(psycopg.Error) as refused:
        door.call("declare_listeners", listeners=Jsonb(large), packages=["p"])

    assert refused.value.sqlstate == "JQ001"


def test_a_job_ends_whatever_a_listener_adds_to_what_it_hears(door):
    args, headers = {"x": "y" * 499_000}, {"x": "y" * 16_000}
    door.call("put_listener", name="a", event="job.*", task="t", args=args, headers=headers)
    job_id = door.enqueue("w")

    door.nack(door.take(), error="e" * 20_000, retry=False)

    assert door.state(job_id) == "failed"
    assert len(jobs_of(door, "t")) == 1


@pytest.mark.parametrize("event", ["", "user.*", "x" * 401, None])
def test_what_is_no_event_is_refused(door, event):
    with pytest.raises(psycopg.Error) as refused:
        door.value("emit", event=event)

    assert refused.value.sqlstate == "JQ001"
