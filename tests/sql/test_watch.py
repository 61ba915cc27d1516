"""Watching a queue's states at the SQL door."""

from __future__ import annotations

import psycopg
import pytest


@pytest.fixture
def watcher(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def watch(connection, queue):
    [channel] = connection.execute("select howdah.watch(%s)", [queue]).fetchone()
    connection.execute(f'listen "{channel}"')


def heard(connection):
    """What was told, as (state, how many ids)."""
    connection.execute("select 1")
    found = [note.payload for note in connection.notifies(timeout=0.3)]
    return [(text.split(" ")[0], text.count(",") + 1) for text in found]


def test_each_state_of_a_watched_queue_is_told(door, watcher):
    watch(watcher, "mail")
    ids = [door.enqueue(queue="mail"), door.enqueue(queue="mail", delay="1 h"), door.enqueue()]
    door.ack(door.take(queues=["mail"]))
    door.value("cancel", id=ids[1])
    door.enqueue_json(*[{"task": "t", "queue": "mail"}] * 300)
    door.release(door.take(queues=["mail"]))

    assert heard(watcher) == [
        ("ready", 1), ("scheduled", 1), ("running", 1), ("succeeded", 1), ("cancelled", 1),
        ("ready", 200), ("ready", 100), ("running", 1), ("ready", 1),
    ]  # fmt: skip


def test_who_watches_no_more_is_forgotten(door, watcher, clock):
    watch(watcher, "mail")
    clock.forward("2 minutes")
    door.enqueue(queue="mail")
    door.chores("prune")

    assert heard(watcher) == []
    assert door.one("select _howdah.anybody_watching()") is False


def test_who_begins_to_watch_while_others_are_forgotten_is_told(door, dsn):
    with psycopg.connect(dsn) as beginning:
        watch(beginning, "mail")
        door.chores("prune")
        beginning.commit()

        door.enqueue(queue="mail")
        assert heard(beginning) == [("ready", 1)]


@pytest.mark.parametrize("queue", [None, "", "mail*"])
def test_one_queue_is_watched(door, queue):
    with pytest.raises(psycopg.Error) as refused:
        door.value("watch", queue=queue)

    assert refused.value.sqlstate == "JQ001"
