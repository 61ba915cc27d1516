"""Jobs that do to their process what they should not: the worker goes on, nothing hangs."""

from __future__ import annotations

from collections.abc import Sequence


async def test_whatever_jobs_do_to_their_process_the_next_job_runs(
    start, store, ledger, eventually
):
    parent = start("-p", "2", "-c", "2")
    await parent.ready(2)
    innocent = [store.enqueue("hold", {"first": 0.1, "again": 0.1})]
    deaths: Sequence[str] = ("exit", "close", "daemon", "kill")
    crashes = {}

    for how in ("flood", "fork", "end_fork", "deafen", "move", "scribble", *deaths):
        pids = [each["pid"] for each in (await parent.status())["processes"]]
        job_id = store.enqueue("misbehave", {"how": how, "pid": pids[0]})
        await eventually(lambda: store.state(job_id) == "succeeded", within=15)  # noqa: B023
        innocent.append(store.enqueue("hold"))
        crashes[how] = store.job(job_id).crashes, store.job(job_id).attempt
    await eventually(lambda: store.states()["succeeded"] == 10 + len(innocent))

    unkilled = {how: seen for how, seen in crashes.items() if how not in deaths}
    assert unkilled == dict.fromkeys(unkilled, (0, 1))
    assert {how: crashes[how] for how in ("exit", "close", "daemon")} == dict.fromkeys(
        ("exit", "close", "daemon"), (1, 1)
    )
    assert [store.job(job_id).attempt for job_id in innocent] == [1] * len(innocent)
