"""Signals to a parent: while it loads, idles, works, hangs, and waits to start a child again."""

from __future__ import annotations

import asyncio
import os
import time
from signal import SIG_IGN, SIGCHLD, SIGINT, SIGKILL, SIGTERM, SIGUSR1, signal

import pytest


async def test_ctrl_c_reaches_an_idle_parent_alone_and_ends_it_within_a_second(start):
    parent = start("-p", "2")
    await parent.ready(2)

    os.killpg(parent.pid, SIGINT)  # as a terminal does
    sent = time.monotonic()
    code = await parent.ended()

    assert code == 0
    assert time.monotonic() - sent < 2  # 1 s on a quiet machine
    assert parent.family() == []
    assert "stopping (SIGINT)" in parent.errors
    assert "Traceback" not in parent.errors
    assert "KeyboardInterrupt" not in parent.errors


async def test_a_parent_hears_of_its_children_though_whoever_started_it_ignores_such_news(start):
    before = signal(SIGCHLD, SIG_IGN)  # inherited by what is started
    try:
        parent = start("-p", "1")
    finally:
        signal(SIGCHLD, before)
    [pid] = await parent.ready()

    os.kill(pid, SIGKILL)
    await parent.ready(2)
    parent.send(SIGTERM)
    code = await parent.ended(within=5)

    assert code == 0
    assert parent.family() == []
    assert "Traceback" not in parent.errors


async def test_a_service_manager_that_signals_every_process_lets_jobs_end(
    start, store, ledger, eventually
):
    parent = start("-p", "2", "-c", "1")
    pids = await parent.ready(2)
    jobs = [store.enqueue("hold", {"first": 1.0}) for _ in range(2)]
    await eventually(lambda: len(ledger.starts()) == 2)

    for pid in (parent.pid, *pids):  # as systemd does with its KillMode=control-group
        os.kill(pid, SIGTERM)
    code = await parent.ended()

    assert code == 0
    assert ledger.starts() == dict.fromkeys(jobs, 1)
    assert store.states() == {"succeeded": 2}
    assert parent.family() == []


@pytest.mark.slow
async def test_jobs_in_processes_of_their_own_are_waited_for_and_counted_too(
    start, store, ledger, eventually
):
    parent = start("-p", "1")
    await parent.ready()
    store.enqueue("tell", {"word": "x", "takes": 2})
    await parent.says("the word is x")
    held = store.enqueue("hold", {"first": 1})
    await eventually(lambda: ledger.starts()[held] == 1)

    parent.send(SIGTERM)
    code = await parent.ended()

    assert code == 0
    assert store.states() == {"succeeded": 2}
    assert "stopping (SIGTERM); waits for 2 jobs, " in parent.errors
    assert parent.errors.rstrip().endswith(" stopped")


@pytest.mark.slow
async def test_a_child_that_does_not_end_after_its_leave_is_ended_and_that_is_said(
    start, store, eventually
):
    parent = start("-p", "1")
    await parent.ready()
    store.enqueue("linger")
    await eventually(lambda: store.states() == {"succeeded": 1})

    parent.send(SIGTERM)
    code = await parent.ended()

    assert code == 0
    assert "had left, but did not end within 3 s" in parent.errors
    assert "SIGKILL" not in parent.errors


async def test_the_third_signal_leaves_at_once_and_no_crash_is_counted(
    start, store, ledger, eventually
):
    parent = start("-p", "1", "-c", "2")
    await parent.ready()
    held = store.enqueue("hold", {"first": 60})
    await eventually(lambda: ledger.starts()[held] == 1)
    job_id = store.enqueue("spin", {"length": 60})
    await eventually(lambda: ledger.starts()[job_id] == 1)

    for _ in range(3):
        parent.send(SIGTERM)
        await asyncio.sleep(0.1)  # or the kernel makes one of them
    code = await parent.ended(within=4)

    assert code == 128 + SIGTERM
    assert parent.family() == []
    assert {store.state(job_id), store.state(held)} == {"ready"}
    assert {(store.job(each).attempt, store.job(each).crashes) for each in (job_id, held)} == {
        (0, 0)
    }


@pytest.mark.slow
async def test_the_second_signal_does_not_wait_for_a_loop_that_does_not_turn(
    start, store, ledger, eventually
):
    parent = start("-p", "1")
    await parent.ready()
    job_id = store.enqueue("spin", {"length": 60})
    await eventually(lambda: ledger.starts()[job_id] == 1)

    parent.send(SIGTERM)
    await parent.says("stopping (SIGTERM)")
    parent.send(SIGTERM)
    code = await parent.ended(within=10)

    assert code == 0
    assert (store.state(job_id), store.job(job_id).crashes) == ("ready", 0)


async def test_while_the_app_is_loading_a_question_is_no_order_and_an_order_is_heard(
    start, eventually
):
    loading = start("-p", "2", import_takes=60)
    await eventually(lambda: len(loading.family()) == 3)  # the parent, its guard, a child
    loading.send(SIGTERM)
    sent = time.monotonic()
    code = await loading.ended()
    took = time.monotonic() - sent
    asked = start("-p", "1", import_takes=1.5)
    await eventually(lambda: len(asked.family()) == 3)
    asked.send(SIGUSR1)
    await asked.says('"silent"')
    await asked.ready()

    assert (code, loading.errors) == (0, "")
    assert took < 2
    assert loading.family() == []


@pytest.mark.slow
async def test_a_signal_is_heard_while_a_child_that_dies_again_and_again_is_waited_for(
    start, store
):
    store.do("select * from howdah.put_settings(max_crashes => 1000)")
    parent = start("-p", "1", "-c", "1")
    await parent.ready()
    for _ in range(5):
        store.enqueue("misbehave", {"how": "exit"})
    await parent.says("another starts in 2s")

    parent.send(SIGTERM)
    sent = time.monotonic()
    code = await parent.ended()

    assert code == 0
    assert time.monotonic() - sent < 2
    assert parent.family() == []
