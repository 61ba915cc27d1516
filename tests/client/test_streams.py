"""Task.map and enqueue_stream: any number of jobs, in order, in batches, in bounded memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest

from howdah import App, BadInput, Client, Context, Job, on
from howdah.errors import BadArguments, BadItem
from howdah.stream import stream


def stored(db: psycopg.Connection) -> list[Any]:
    """The arguments of all jobs, in the order in which they will run."""
    return [row[0] for row in db.execute("select args from _howdah.job order by seq")]


@pytest.fixture
def work(app: App) -> Any:
    @app.task(name="work", queue="q")
    def work(a: Any, b: int = 0) -> None: ...

    return work


async def numbers(count: int) -> AsyncIterator[int]:
    for n in range(count):
        yield n


async def test_each_item_becomes_a_job_in_the_order_of_the_input(
    work: Any, db: psycopg.Connection
) -> None:
    count = await work.map(range(250), batch=100)

    assert count == 250
    assert stored(db) == [{"a": n} for n in range(250)]
    assert db.execute("select distinct queue, task from _howdah.job").fetchall() == [("q", "work")]


async def test_an_item_is_a_tuple_a_dict_or_the_only_argument(
    work: Any, db: psycopg.Connection
) -> None:
    await work.map([(1, 2), {"b": 3, "a": 4}, 5, "six", [7], ((8,),), ({"b": 9},), None])

    assert stored(db) == [
        {"a": 1, "b": 2}, {"a": 4, "b": 3}, {"a": 5}, {"a": "six"}, {"a": [7]}, {"a": [8]},
        {"a": {"b": 9}}, {"a": None},
    ]  # fmt: skip


async def test_items_may_have_to_be_waited_for(work: Any, db: psycopg.Connection) -> None:
    assert await work.map(numbers(250), batch=100) == 250
    assert [args["a"] for args in stored(db)] == [*range(250)]


async def test_nothing_is_no_error(work: Any, db: psycopg.Connection) -> None:
    assert await work.map([]) == 0
    assert stored(db) == []


async def test_options_and_a_context_are_those_of_the_task(
    app: App, db: psycopg.Connection
) -> None:
    @app.task(name="told")
    def told(context: Context, a: int) -> None: ...

    await told.options(priority=3, tags=["x"]).map([1, 2])

    rows = db.execute("select args, priority, tags from _howdah.job order by seq").fetchall()
    assert rows == [({"a": 1}, 3, ["x"]), ({"a": 2}, 3, ["x"])]


async def test_where_there_is_no_loop_it_is_map_sync(
    work: Any, app: App, db: psycopg.Connection
) -> None:
    told: list[int] = []

    count = await asyncio.to_thread(work.map_sync, range(250), batch=100, progress=told.append)
    jobs_ = [work.job(n) for n in range(3)]
    more = await asyncio.to_thread(app.enqueue_stream_sync, jobs_)

    assert (count, more, told) == (250, 3, [100, 200, 250])
    assert [args["a"] for args in stored(db)] == [*range(250), 0, 1, 2]


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
async def test_jobs_of_many_tasks_and_options_keep_their_order(
    app: App, db: psycopg.Connection, work: Any, batch: int
) -> None:
    later = work.options(priority=1)
    many = [later.job(0), Job("other", '{"a":1}'), work.job(2), work.job(3), later.job(4)]

    assert await app.enqueue_stream(iter(many), batch=batch) == 5

    assert [args["a"] for args in stored(db)] == [0, 1, 2, 3, 4]


async def test_jobs_with_keys_go_through_a_stream_too(
    app: App, db: psycopg.Connection, work: Any
) -> None:
    many = (work.options(unique_key=f"k{n % 3}").job(n) for n in range(10))

    assert await app.enqueue_stream(many, batch=4) == 10

    assert [args["a"] for args in stored(db)] == [0, 1, 2]


async def test_progress_is_told_what_is_in(work: Any, dsn: str) -> None:
    told: list[tuple[int, int]] = []
    with psycopg.connect(dsn, autocommit=True) as other:
        await work.map(
            range(25), batch=10, progress=lambda count: told.append((count, len(stored(other))))
        )

    assert told == [(10, 10), (20, 20), (25, 25)]


@pytest.mark.parametrize("items", [list, iter, "async"])
@pytest.mark.parametrize("position", [1, 10, 11, 25])
async def test_a_bad_item_stops_it_with_its_position_and_whole_batches_before_it_are_in(
    work: Any, db: psycopg.Connection, position: int, items: Any
) -> None:
    many: list[Any] = [(n, n) for n in range(30)]
    many[position - 1] = (1, "two")

    async def waited() -> AsyncIterator[Any]:
        for item in many:
            yield item

    with pytest.raises(BadItem) as caught:
        await work.map(waited() if items == "async" else items(many), batch=10)

    whole = (position - 1) // 10 * 10
    error = caught.value
    assert (error.first, error.last, error.enqueued) == (position, position, whole)
    assert f"item {position}: bad arguments for work: b:" in error.message
    assert isinstance(error.__cause__, BadArguments)
    assert len(stored(db)) == whole
    assert (f"first {whole} are" if whole else "Nothing was enqueued") in (error.hint or "")


async def test_a_bad_item_stops_map_sync_in_the_same_way(work: Any, db: psycopg.Connection) -> None:
    with pytest.raises(BadItem, match="item 12: ") as caught:
        await asyncio.to_thread(work.map_sync, [*range(11), (1, 2, 3)], batch=10)

    assert (caught.value.enqueued, len(stored(db))) == (10, 10)


async def test_what_only_the_store_refuses_stops_it_with_the_batch_it_is_in(
    app: App, db: psycopg.Connection
) -> None:
    many = [Job("t", "{}") for _ in range(30)]
    many[14] = Job("t", "[]")

    with pytest.raises(BadItem, match="items 11 to 20: job 5 of the batch: args must be") as caught:
        await app.enqueue_stream(many, batch=10)

    assert (caught.value.first, caught.value.last, caught.value.enqueued) == (11, 20, 10)
    assert len(stored(db)) == 10


async def test_an_error_of_the_callers_own_goes_on_as_it_is_and_is_told_what_is_in(
    work: Any, db: psycopg.Connection
) -> None:
    def items() -> Iterator[int]:
        yield from range(25)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone") as caught:
        await work.map(items(), batch=10)

    assert caught.value.__notes__ == ["20 jobs of the stream were enqueued before."]
    assert len(stored(db)) == 20


async def test_a_lost_connection_is_told_what_is_known(dsn: str, db: psycopg.Connection) -> None:
    told: list[int] = []

    def broken(count: int) -> None:
        told.append(count)
        if count == 20:
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name = 'howdah client'"
            )

    many = (Job("t", "{}") for _ in range(100))
    async with App(dsn) as app:
        with pytest.raises(Exception, match="connection") as caught:
            await app.enqueue_stream(many, batch=10, progress=broken)

    assert any("is not known" in note for note in caught.value.__notes__)
    assert told[:2] == [10, 20]


@pytest.mark.parametrize("options", [{"unique_key": "k"}, {"id": "id"}])
async def test_one_key_for_all_items_is_refused(
    work: Any, db: psycopg.Connection, options: dict[str, Any]
) -> None:
    from uuid import uuid4

    given = {"id": uuid4()} if "id" in options else options

    with pytest.raises(BadInput, match="would share one"):
        await work.options(**given).map([1, 2])
    with pytest.raises(BadInput, match="would share one"):
        await asyncio.to_thread(work.options(**given).map_sync, [1, 2])

    assert stored(db) == []


@pytest.mark.parametrize("batch", [0, 10_001])
async def test_a_batch_out_of_bounds_is_refused(work: Any, batch: int) -> None:
    with pytest.raises(BadInput, match=f"cannot have {batch} jobs"):
        await work.map([1], batch=batch)


async def test_what_is_no_job_is_refused(app: App) -> None:
    with pytest.raises(BadItem, match=r"item 2: .* is no job"):
        await app.enqueue_stream([Job("t", "{}"), "t"])  # type: ignore[list-item]


async def test_a_stream_on_the_callers_connection_is_part_of_its_transaction(
    work: Any, dsn: str, db: psycopg.Connection
) -> None:
    with psycopg.connect(dsn) as connection:
        count = on(connection).enqueue_stream((work.job(n) for n in range(25)), batch=10)
        during = len(stored(db))
        connection.rollback()

    assert (count, during, stored(db)) == (25, 0, [])


async def test_it_reads_no_more_than_a_batch_ahead_and_sends_one_at_a_time() -> None:
    taken, under_way, most_ahead, most_under_way, done = 0, 0, 0, 0, 0

    def items() -> Iterator[Job]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield Job("t", "{}")

    async def run(call: Any) -> Any:
        nonlocal under_way, most_ahead, most_under_way, done
        under_way += 1
        most_under_way = max(most_under_way, under_way)
        for _ in range(5):
            await asyncio.sleep(0)
        most_ahead = max(most_ahead, taken - done)
        done += 10
        under_way -= 1
        return []

    await stream(run, items(), batch=10)

    assert (most_under_way, most_ahead) == (1, 20)


async def test_a_cancelled_stream_leaves_nothing_running(work: Any, db: psycopg.Connection) -> None:
    reached = asyncio.Event()

    async def items() -> AsyncIterator[int]:
        for n in range(15):
            yield n
        reached.set()
        await asyncio.sleep(60)

    streaming = asyncio.create_task(work.map(items(), batch=10))
    await reached.wait()
    streaming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await streaming

    assert not [task for task in asyncio.all_tasks() if task.get_name() == "enqueue a batch"]
    assert len(stored(db)) in {0, 10}


async def test_memory_does_not_grow_with_the_number_of_jobs(work: Any, app: App) -> None:
    async def peak(count: int) -> int:
        tracemalloc.start()
        await work.map(range(count), batch=100)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    await work.map(range(500), batch=100)
    few, many = await peak(500), await peak(5_000)

    assert many < 1.5 * few


def test_a_client_without_a_loop_streams_too(settings: Any, db: psycopg.Connection) -> None:
    from howdah.stream import stream_sync

    with Client(settings) as client:
        assert stream_sync(client.run, (Job("t", "{}") for _ in range(25)), batch=10) == 25

    assert len(stored(db)) == 25
