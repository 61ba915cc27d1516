"""Every verb runs on a connection of the caller's, and its answer has the same types everywhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from howdah import (
    BadInput,
    Conflict,
    Job,
    LeaseLost,
    SchemaMismatch,
    WorkerUnknown,
    jobs,
    queues,
    store,
    workers,
)
from howdah.call import Call
from howdah.job import make_options
from howdah.outcome import Failed, Retrying, Succeeded


async def claimed(kind: Any, n: int = 1, **options: Any) -> list[jobs.Claimed]:
    for number in range(n):
        await kind.run(jobs.enqueue(Job("t", f'{{"n":{number}}}', make_options(**options))))
    found: list[jobs.Claimed] = await kind.run(jobs.claim(None, n))
    assert len(found) == n
    return found


async def test_a_claimed_job_has_the_types_it_says(kind: Any) -> None:
    [job] = await claimed(kind, headers={"a": 1}, tags=["x"])

    assert all(isinstance(value, UUID) for value in (job.id, job.lease))
    assert (job.task, job.args, job.attempt, job.timeout_ms) == ("t", '{"n": 0}', 1, 60_000)
    assert isinstance(job.leased_until, datetime)
    assert job.leased_until.tzinfo is not None
    assert (job.headers, job.tags) == ('{"a": 1}', ["x"])
    await kind.rollback()


async def test_an_acknowledged_job_has_succeeded_with_its_result(kind: Any) -> None:
    [job] = await claimed(kind)

    await kind.run(jobs.ack(job.id, job.lease, {"it's": ["ü", None]}))
    end = await kind.run(jobs.outcome(job.id))
    found = await kind.run(jobs.get(job.id))
    await kind.commit()

    assert end == jobs.End("succeeded", '{"it\'s": ["ü", null]}', None)
    assert (found.state, found.attempt) == ("succeeded", 1)
    assert isinstance(found.started_at, datetime)
    assert isinstance(found.finished_at, datetime)


async def test_a_nacked_job_says_where_it_went_and_why_it_waits(kind: Any) -> None:
    [job] = await claimed(kind)

    state = await kind.run(jobs.nack(job.id, job.lease, "it's 100% broken :x", retry_in="10m"))
    why = await kind.run(jobs.why(job.id))
    [attempt] = await kind.run(jobs.attempts(job.id))
    await kind.commit()

    assert state == "scheduled"
    assert "scheduled" in why
    assert (attempt.job_id, attempt.outcome, attempt.error) == (
        job.id,
        "error",
        "it's 100% broken :x",
    )


async def test_many_attempts_are_ended_in_one_call(kind: Any) -> None:
    first, second, third = await claimed(kind, 3)

    refused = await kind.run(
        jobs.finish(
            [
                Succeeded(id=first.id, lease=first.lease, result='{"a":1}'),
                Retrying(id=second.id, lease=second.lease, error="no", retry_in=60),
                Failed(id=third.id, lease=third.lease, error="never", reason="error"),
                Succeeded(id=(foreign := uuid4()), lease=first.lease),
            ],
            done=[first.lease],
        )
    )
    states = [(await kind.run(jobs.get(job.id))).state for job in (first, second, third)]
    await kind.commit()

    assert refused == [jobs.Refused(foreign, "lost")]
    assert states == ["succeeded", "scheduled", "failed"]


async def test_many_plain_successes_are_ended_in_one_call(kind: Any) -> None:
    held = await claimed(kind, 3)

    refused = await kind.run(jobs.finish([Succeeded(id=job.id, lease=job.lease) for job in held]))
    await kind.commit()

    assert refused == []
    assert {found.state for found in await kind.run(jobs.list())} == {"succeeded"}


async def test_a_lease_is_prolonged_and_given_back(kind: Any) -> None:
    [job] = await claimed(kind)

    until = await kind.run(jobs.extend(job.id, job.lease, "10m"))
    nothing = await kind.run(jobs.release(job.id, job.lease))
    found = await kind.run(jobs.get(job.id))
    await kind.commit()

    assert isinstance(until, datetime)
    assert nothing is None
    assert (found.state, found.attempt) == ("ready", 0)


async def test_what_people_do_to_one_job_says_whether_it_did_anything(kind: Any) -> None:
    later = await kind.run(jobs.enqueue(Job("t", "{}", make_options(delay="1h"))))

    said = [
        await kind.run(verb(later))
        for verb in (
            jobs.run_now,
            jobs.run_now,
            jobs.cancel,
            jobs.cancel,
            jobs.retry,
            jobs.delete,
            jobs.delete,
        )
    ]
    await kind.commit()

    assert said == [True, False, True, False, True, True, False]
    assert await kind.run(jobs.get(later)) is None


async def test_a_list_is_filtered_and_goes_on_by_key(kind: Any) -> None:
    ids = [
        await kind.run(jobs.enqueue(Job("t", "{}", make_options(queue="q", tags=["x"]))))
        for _ in range(3)
    ]
    await kind.run(jobs.enqueue(Job("t", "{}", make_options(queue="other"))))

    page = await kind.run(
        jobs.list(state="ready", queue="q", task="t", tag="x", newer_than="1h", limit=2)
    )
    rest = await kind.run(jobs.list(queue="q", before=page[-1].id))
    none = await kind.run(jobs.list(older_than="1h"))
    await kind.commit()

    assert [found.id for found in [*page, *rest]] == sorted(ids, reverse=True)
    assert none == []


async def test_a_queue_is_paused_looked_at_and_resumed(kind: Any) -> None:
    await kind.run(jobs.enqueue(Job("t", "{}", make_options(queue="mail"))))

    said = [await kind.run(queues.pause("mail")), await kind.run(queues.pause("mail"))]
    nothing = await kind.run(jobs.claim(["mail"]))
    [queue] = await kind.run(queues.list())
    resumed = await kind.run(queues.resume("mail"))
    await kind.run(queues.put("mail", keep_history=False))
    backlog = await kind.run(jobs.backlog("mail"))
    await kind.commit()

    assert (said, nothing, resumed, backlog) == ([True, False], [], True, 1)
    assert (queue.queue, queue.paused, queue.ready) == ("mail", True, 1)
    assert isinstance(queue.oldest, timedelta)


async def test_a_worker_registers_beats_and_leaves(kind: Any) -> None:
    me = uuid4()

    control = await kind.run(
        workers.heartbeat(me, name="mine", queues=["*"], tasks=["t"], pid=1, leases=[])
    )
    [seen] = await kind.run(workers.list())
    await kind.run(jobs.enqueue(Job("t", "{}")))
    [job] = await kind.run(jobs.claim(worker=me))
    [held] = await kind.run(workers.running([me, uuid4()]))
    of_others = await kind.run(workers.running([uuid4()]))
    told = await kind.run(workers.kill(me, name="m*", now=True))
    again = await kind.run(workers.heartbeat(me))
    gone = await kind.run(workers.leave(me))
    await kind.commit()

    assert control.action == "go"
    assert (seen.id, seen.name, seen.queues, seen.tasks, seen.running) == (
        me,
        "mine",
        ["*"],
        ["t"],
        0,
    )
    assert isinstance(seen.lost_after, timedelta)
    assert (held.id, held.worker, held.task, held.attempt) == (job.id, me, "t", 1)
    assert of_others == []
    assert (told, again.action, gone) == (1, "now", True)


async def test_a_worker_hears_which_of_its_jobs_are_to_be_cancelled(kind: Any) -> None:
    me = uuid4()
    await kind.run(workers.heartbeat(me, name="mine"))
    await kind.run(jobs.enqueue(Job("t", "{}")))
    [job] = await kind.run(jobs.claim(None, worker=me, tasks=["t"]))

    await kind.run(jobs.cancel(job.id))
    control = await kind.run(workers.heartbeat(me))
    await kind.commit()

    assert control.cancel == [job.id]


async def test_the_store_itself_can_be_asked(kind: Any) -> None:
    version = await kind.run(store.schema_version())
    done = await kind.run(store.chores("stage", "rescue"))
    declared = await kind.run(store.declare_tasks('[{"name":"t","queue":"q","max_attempts":2}]'))
    [task] = await kind.run(store.tasks())
    channel = await kind.run(store.channel())
    await kind.commit()

    assert isinstance(version, int)
    assert set(done) == {"stage", "rescue"}
    assert (declared, task.name, task.queue, task.max_attempts) == (1, "t", "q", 2)
    assert channel.startswith("howdah_")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (jobs.ack(uuid4(), uuid4()), LeaseLost),
        (jobs.nack(uuid4(), uuid4()), LeaseLost),
        (jobs.extend(uuid4(), uuid4(), 5), LeaseLost),
        (jobs.release(uuid4(), uuid4()), LeaseLost),
        (workers.heartbeat(uuid4()), None),
        (queues.pause("a*"), BadInput),
        (queues.pause("a\x00b"), BadInput),
        (queues.pause("\ud800"), BadInput),
        (jobs.list(queue="a\x00b"), BadInput),
        (jobs.backlog("q", cap=2**40), BadInput),
        (
            jobs.nack(
                uuid4(), uuid4(), retry_in=1, retry_at=datetime.fromisoformat("2030-01-01T00:00Z")
            ),
            BadInput,
        ),
    ],
    ids=[
        "ack",
        "nack",
        "extend",
        "release",
        "heartbeat",
        "pattern",
        "NUL",
        "surrogate",
        "NUL in a list",
        "int",
        "two times",
    ],
)
async def test_what_the_store_refuses_is_an_error_of_ours(
    kind: Any, call: Call[object], error: type[Exception] | None
) -> None:
    if error is None:
        control: Any = await kind.run(call)
        assert control.action == "swept"
    else:
        with pytest.raises(error) as refused:
            await kind.run(call)
        assert "\n" in str(refused.value) or refused.value.hint is None  # type: ignore[attr-defined]
        if error is LeaseLost:
            assert refused.value.hint  # type: ignore[attr-defined]
    await kind.rollback()


async def test_a_claim_for_a_worker_that_nobody_knows_is_refused(kind: Any) -> None:
    await kind.run(jobs.enqueue(Job("t", "{}")))

    with pytest.raises(WorkerUnknown) as refused:
        await kind.run(jobs.claim(None, worker=uuid4()))
    await kind.rollback()

    assert refused.value.hint


async def test_a_job_whose_key_was_taken_in_the_meantime_does_not_come_back(kind: Any) -> None:
    [job] = await claimed(kind, unique_key="k")
    await kind.run(jobs.ack(job.id, job.lease))
    await kind.run(jobs.enqueue(Job("t", "{}", make_options(unique_key="k"))))

    with pytest.raises(Conflict) as refused:
        await kind.run(jobs.retry(job.id))
    await kind.rollback()

    assert refused.value.hint


async def test_a_schema_that_is_not_there_is_said_to_be_missing(kind: Any) -> None:
    from howdah import on

    door = on(kind.connection, schema="elsewhere")
    with pytest.raises(SchemaMismatch) as refused:
        await _run(door, jobs.why(uuid4()))
    await kind.rollback()

    assert refused.value.hint
    assert "migrate" in refused.value.hint


async def _run(door: Any, call: Call[object]) -> object:
    answer = door.run(call)
    return await answer if hasattr(answer, "__await__") else answer


async def test_errors_of_the_callers_own_statements_stay_their_own(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("select * from nowhere")
        connection.rollback()


@pytest.mark.parametrize(
    "kind",
    ["asyncpg", "psycopg", "psycopg async", "Session psycopg2", "Django connection"],
    indirect=True,
)
async def test_an_error_that_is_not_about_us_keeps_its_own_cause(kind: Any) -> None:
    """Whoever retries a transaction asks the driver's own error, which is its cause."""
    with pytest.raises(Exception, match="division by zero") as raised:
        await kind.run(Call("select 1 / 0", (), list))
    await kind.rollback()

    error = raised.value
    assert error.__cause__ is not error
    wraps = type(error).__module__.startswith(("sqlalchemy.", "django."))
    assert (error.__cause__ is not None) == wraps
