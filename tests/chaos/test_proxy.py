"""A road that can go wrong does to those who use it what it says."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from chaos.proxy import Proxy

SOON = 2.0


@pytest.fixture
async def echo():
    """A server that sends back what it gets, and knows who is connected."""
    connected, got = set(), bytearray()

    async def serve(reader, writer):
        connected.add(writer)
        try:
            while data := await reader.read(65536):
                got.extend(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            connected.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.connected, server.got = connected, got
    yield server
    server.close()
    for writer in [*connected]:
        writer.transport.abort()


@pytest.fixture
def road(echo):
    """A road to it."""
    road = Proxy(("127.0.0.1", echo.sockets[0].getsockname()[1]))
    yield road
    road.close()


@asynccontextmanager
async def connected(road):
    reader, writer = await asyncio.open_connection(road.host, road.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def said_back(reader, writer, words, within=SOON):
    writer.write(words)
    return await asyncio.wait_for(reader.readexactly(len(words)), within)


async def test_a_road_that_nothing_is_wrong_with_passes_everything_in_order(road):
    much = bytes(range(256)) * 20_000

    async with connected(road) as (reader, writer):
        assert await said_back(reader, writer, b"hello") == b"hello"
        assert await said_back(reader, writer, much) == much

    assert (await road.counts())["to_server"] == len(much) + 5


async def test_the_end_of_what_is_said_is_passed_on_too(road):
    async with connected(road) as (reader, writer):
        writer.write(b"last words")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), SOON) == b"last words"


async def test_a_cut_resets_those_who_are_connected_and_nobody_after_them(road, echo):
    async with connected(road) as (reader, writer):
        await said_back(reader, writer, b"hello")
        assert await road.cut() == 1
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), SOON)

    async with connected(road) as (reader, writer):
        assert await said_back(reader, writer, b"again") == b"again"
        await no_more_than(echo, 1)


async def test_a_cut_of_a_share_leaves_the_others_alone(road):
    async with connected(road) as one, connected(road) as other:
        for each in (one, other):
            await said_back(*each, b"hello")
        assert await road.cut(0.5) == 1
        answers = await asyncio.gather(
            *(said_back(*each, b"again") for each in (one, other)), return_exceptions=True
        )

    assert sorted(type(answer) is bytes for answer in answers) == [False, True]


@pytest.mark.parametrize("drop", [False, True])
async def test_in_a_black_hole_nothing_passes_and_nobody_is_told(road, echo, drop):
    async with connected(road) as (reader, writer):
        await said_back(reader, writer, b"hello")
        async with road.held(drop=drop) as held:
            assert held == 1
            writer.write(b"anybody?")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
            async with connected(road) as late:
                with pytest.raises(TimeoutError):
                    await said_back(*late, b"late", 0.2)
        if drop:
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(1), SOON)
        else:
            assert await asyncio.wait_for(reader.readexactly(8), SOON) == b"anybody?"

    assert (bytes(echo.got) == b"hello") is drop


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
async def test_a_road_that_is_dead_one_way_is_alive_the_other(road, echo, direction):
    async with connected(road) as (reader, writer):
        await said_back(reader, writer, b"hello")
        async with road.held([direction], drop=False):
            writer.write(b"anybody?")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
            assert (echo.got == b"helloanybody?") is (direction == "to_client")
        assert await asyncio.wait_for(reader.readexactly(8), SOON) == b"anybody?"


async def test_a_slow_road_takes_its_time_each_way_and_keeps_the_order(road):
    async with connected(road) as (reader, writer):
        await road.delay(0.05, 0.1)
        began = time.monotonic()
        words = [f"{n:04}".encode() for n in range(50)]
        for word in words:
            writer.write(word)
            await asyncio.sleep(0.001)
        assert await asyncio.wait_for(reader.readexactly(200), SOON) == b"".join(words)
        took = time.monotonic() - began
        await road.delay(0, 0)
        began = time.monotonic()
        await said_back(reader, writer, b"fast again")

    assert took >= 0.1
    assert time.monotonic() - began < 0.1


async def test_a_trickle_passes_so_many_bytes_a_second(road):
    async with connected(road) as (reader, writer):
        await road.trickle(10_000)
        began = time.monotonic()
        assert await said_back(reader, writer, b"x" * 4_000) == b"x" * 4_000
        assert 0.3 < time.monotonic() - began < 1.5
        await road.trickle(0)
        assert await said_back(reader, writer, b"x" * 400_000) == b"x" * 400_000


async def test_a_road_that_refuses_resets_who_comes_and_keeps_who_is_there(road):
    async with connected(road) as (reader, writer):
        await said_back(reader, writer, b"hello")
        await road.refuse(True)
        with pytest.raises(OSError):
            async with connected(road) as late:
                await said_back(*late, b"hello")
        assert await said_back(reader, writer, b"again") == b"again"
        await road.refuse(False)
        async with connected(road) as late:
            assert await said_back(*late, b"now") == b"now"

    assert (await road.counts())["refused"] == 1


async def test_a_road_that_leads_elsewhere_leads_new_connections_there(road, echo):
    async with connected(road) as (reader, writer):
        await said_back(reader, writer, b"old")
        await road.lead_to(Path("/nowhere/at/all"))
        with pytest.raises(OSError):
            async with connected(road) as late:
                await said_back(*late, b"new")
        assert await said_back(reader, writer, b"old") == b"old"

    assert (await road.counts())["unreachable"] == 1


async def test_a_road_is_gone_with_its_process_and_takes_its_connections_along(road, echo):
    async with connected(road) as (reader, writer):
        await said_back(reader, writer, b"hello")
        road.close()
        with pytest.raises(OSError):
            await asyncio.open_connection(road.host, road.port)
        await no_more_than(echo, 0)


async def no_more_than(echo, n):
    until = time.monotonic() + SOON
    while len(echo.connected) > n:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


# With a database at its end


@pytest.fixture
def to_database(dsn):
    """A road to the test's database, and the address by that road."""
    asked = parse_qs(urlsplit(dsn).query)
    road = Proxy(Path(asked["host"][0]) / f".s.PGSQL.{asked['port'][0]}")
    road.address = road.dsn(urlsplit(dsn).path.strip("/"))
    yield road
    road.close()


@pytest.fixture
async def connection(to_database):
    connection = await asyncpg.connect(to_database.address)
    await connection.execute("create table if not exists public.done (n int)")
    yield connection
    connection.terminate()


async def test_an_eaten_answer_is_of_something_that_is_done(to_database, connection, db):
    try:
        assert await to_database.eat(1) == 0
        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionResetError)):
            await connection.execute("insert into public.done values (1)")
        again = await asyncpg.connect(to_database.address)
        await again.execute("insert into public.done values (2)")
        again.terminate()
        done = db.execute("select n from public.done order by n").fetchall()
    finally:
        db.execute("drop table public.done")

    assert done == [(1,), (2,)]
    assert (await to_database.counts())["eaten"] == 1


async def test_answers_inside_a_transaction_and_errors_are_not_eaten_but_its_commit_is(
    to_database, connection, db
):
    try:
        await to_database.eat(1)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.execute("select 1/0")
        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionResetError)):
            await connection.execute("begin; select 1; commit")
        again = await asyncpg.connect(to_database.address)
        await again.execute("begin")
        await to_database.eat(1)
        await again.execute("insert into public.done values ($1)", 3)
        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionResetError)):
            await again.execute("commit")
        again.terminate()
        assert db.execute("select n from public.done").fetchall() == [(3,)]
    finally:
        db.execute("drop table public.done")

    assert (await to_database.counts())["eaten"] == 2
