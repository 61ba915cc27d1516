"""executor="command": programs, their arguments on stdin, what they print, how they end."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from howdah import App, BadInput, Cancel, JobFailed, Retry, Snooze, Workflow, jobs, result
from howdah.worker import commands

ONCE = Retry(max_attempts=1)


def command(app, name, *argv, **options):
    """A task that runs a program that its declaration names."""

    def function(**given: Any) -> None: ...

    return app.task(
        name=name, executor="command", command=list(argv), retry=ONCE, **options
    )(function)  # fmt: skip


async def ended(app, job, timeout=10):
    """The job as it ended."""
    job_id = await app.enqueue(job)
    with suppress(JobFailed):
        await app.result(job_id, timeout)
    return await app.run(jobs.get(job_id))


async def test_arguments_come_on_stdin_and_what_is_printed_is_the_result(app):
    echo = command(app, "echo", "cat")
    said = command(app, "said", "sh", "-c", "cat >/dev/null; echo ' two words '")
    silent = command(app, "silent", "true")
    everything = {"text": 'it\'s "ü" \\ $(id) `id` ; | & \n', "many": [1, None, {"a": 1.5}]}

    async with app.worker():
        assert (await ended(app, echo.job(**everything))).result is not None
        assert await app.result(await echo.enqueue(**everything)) == everything
        assert await app.result(await said.enqueue()) == "two words"
        assert await app.result(await silent.enqueue()) is None


async def test_a_megabyte_travels_unchanged_by_sql_and_stdin(app, db):
    command(app, "echo", "cat")
    text = 'it\'s "ü" \\ ' + "x" * 1_000_000

    async with app.worker():
        [job_id] = db.execute("select howdah.enqueue('echo', %s)", [Jsonb({"t": text})]).fetchone()
        assert await app.result(job_id, 10) == {"t": text}


async def test_stderr_is_kept_and_the_exit_code_judged(app):
    warns = command(app, "warns", "sh", "-c", "cat >/dev/null; echo warn >&2; exit 0")
    fails = command(app, "fails", "sh", "-c", "echo why >&2; exit 3")
    killed = command(app, "killed", "sh", "-c", "kill -9 $$")

    async with app.worker():
        good = await ended(app, warns.job())
        bad = await ended(app, fails.job())
        dead = await ended(app, killed.job())

    assert (good.state, good.error) == ("succeeded", "warn")
    assert (bad.state, bad.error) == ("failed", "sh: exit code 3\nwhy")
    assert "killed by SIGKILL" in dead.error


async def test_much_output_is_cut_and_nobody_waits_for_anybody(app):
    much = command(
        app, "much", "sh", "-c",
        "head -c 10000000 /dev/zero | tr '\\0' x; head -c 10000000 /dev/zero | tr '\\0' y >&2",
    )  # fmt: skip

    async with app.worker():
        end = await ended(app, much.job(text="z" * 500_000), 20)

    assert end.state == "succeeded"
    assert len(end.result) == 262_146
    assert end.error.startswith("stdout was cut: 262144 of 10000000 bytes are kept")
    assert "the last 32768 of 10000000 bytes" in end.error


async def test_the_whole_process_group_ends_with_its_time(app, tmp_path):
    pids = tmp_path / "pids"
    stays = command(
        app, "stays", "sh", "-c", f"trap '' TERM; sleep 60 & echo $$ $! > {pids}; wait; sleep 60",
        timeout=0.5,
    )  # fmt: skip
    leaves = command(app, "leaves", "sh", "-c", f"sleep 60 & echo $! > {pids}2; echo done")

    async with app.worker():
        began = time.monotonic()
        end = await ended(app, stays.job())
        took = time.monotonic() - began
        assert await app.result(await leaves.enqueue(), 5) == "done"

    assert "timed out after 0.5 s" in end.error
    assert took < 4
    for pid in (pids.read_text() + (tmp_path / "pids2").read_text()).split():
        assert _is_gone(int(pid))


def _is_gone(pid):
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


async def test_a_cancelled_program_ends(app, eventually, db):
    sleeps = command(app, "sleeps", "sleep", "60")

    async with app.worker():
        job_id = await sleeps.enqueue()
        await eventually(lambda: db.execute("select 1 from howdah.running").fetchone())
        await app.run(jobs.cancel(job_id))
        await eventually(
            lambda: db.execute("select 1 from howdah.jobs where state = 'cancelled'").fetchone()
        )


async def test_the_environment_is_clean(app, monkeypatch):
    monkeypatch.setenv("HOWDAH_SECRET_X", "c4n4ry")
    monkeypatch.setenv("PGPASSWORD", "c4n4ry")
    env = command(app, "env", "env")

    async with app.worker():
        said = await app.result(await env.enqueue(), 5)

    assert {line.partition("=")[0] for line in said.splitlines()} == {
        "PATH", "LANG", "HOWDAH_JOB_ID", "HOWDAH_TASK", "HOWDAH_QUEUE", "HOWDAH_ATTEMPT",
        "HOWDAH_MAX_ATTEMPTS",
    }  # fmt: skip


HOSTILE = [
    "; id",
    "$(id)",
    "`id`",
    "| id",
    "&& id",
    "-o/etc/x",
    "--help",
    "\n id",
    "* ?",
    "'\"",
    "",
]


async def test_what_a_function_gives_is_a_list_and_no_shell_reads_it(dsn):
    app = App(dsn, commands=("printf",))

    @app.task(name="shows", executor="command", retry=ONCE)
    def shows(words: list[str]) -> list[str]:
        return ["printf", r"[%s]", *words]

    async with app, app.worker():
        assert await app.result(await shows.enqueue(HOSTILE), 5) == "".join(
            f"[{word}]" for word in HOSTILE
        )


async def test_only_what_is_listed_may_be_named_at_run_time(dsn):
    app = App(dsn, commands=("true",))

    @app.task(name="runs", executor="command", retry=Retry(max_attempts=4))
    def runs(argv: list[str]) -> list[str]:
        return argv

    async with app, app.worker():
        for argv in (["sh", "-c", "id"], ["/bin/true"], ["./true"], ["../bin/true"], [""], []):
            end = await ended(app, runs.job(argv))
            assert (end.state, end.attempt) == ("failed", 1), argv
        assert (await ended(app, runs.job(["true"]))).state == "succeeded"
        missing = await ended(app, runs.job(["sh"]))

    assert "'sh' may not be run" in missing.error
    assert "HOWDAH_COMMANDS" in missing.error


async def test_arguments_that_do_not_fit_fail_before_anything_runs(app, tmp_path):
    mark = tmp_path / "ran"

    @app.task(name="sized", executor="command", command=["touch", str(mark)])
    def sized(size: int) -> None: ...

    from howdah import Job

    async with app.worker():
        end = await ended(app, Job("sized", '{"size": "large"}'))

    assert (end.state, end.attempt) == ("failed", 1)
    assert "size" in end.error
    assert not mark.exists()


async def test_the_function_that_names_the_program_may_say_later_never_or_fail(
    dsn, store, eventually
):
    app = App(dsn, commands=("true",))

    @app.task(name="names", executor="command", retry=Retry(first=3600))
    def names(how: str) -> Any:
        if how == "later":
            raise Snooze("1h")
        if how == "never":
            return Cancel("gone")
        raise ConnectionError("the catalogue is away")

    async with app, app.worker():
        jobs = [await names.enqueue(how) for how in ("later", "never", "error")]
        await eventually(lambda: not {"ready", "running"} & store.states().keys())

    assert [store.state(job) for job in jobs] == ["scheduled", "cancelled", "scheduled"]
    assert [store.attempts(job) for job in jobs] == [["snoozed"], ["cancelled"], ["error"]]


async def test_a_signal_without_a_name_is_an_end_like_any_other(app, store):
    odd = command(app, "odd", "sh", "-c", "kill -40 $$")

    async with app.worker():
        end = await ended(app, odd.job())

    assert store.attempts(end.id) == ["error"]
    assert "sh: killed by signal 40" in end.error


async def test_where_no_process_can_be_had_a_job_is_tried_later_and_not_charged(
    app, store, eventually, monkeypatch
):
    async def none_left(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    true = command(app, "true", "true")

    async with app.worker():
        with monkeypatch.context() as patch:
            patch.setattr("asyncio.create_subprocess_exec", none_left)
            job_id = await true.enqueue()
            await eventually(lambda: store.state(job_id) == "scheduled")
        waiting = store.job(job_id)
        store.do("select howdah.run_now(%s)", job_id)
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert waiting.attempt == 0
    assert store.attempts(job_id) == ["no process"]


async def test_a_program_whose_time_is_up_as_it_ends_is_not_killed_again_later(
    app, store, eventually, monkeypatch
):
    """By then its process group may be somebody else's."""

    async def takes_long(_):
        await asyncio.sleep(60)

    monkeypatch.setattr(commands._Running, "drained", takes_long)
    true = command(app, "true", "true", timeout=0.1)

    async with app.worker() as worker:
        job_id = await true.enqueue()
        await eventually(lambda: store.attempts(job_id) == ["timeout"])

        assert worker._parts.commands.groups == frozenset()


async def test_a_program_that_is_not_there_is_said(app):
    missing = command(app, "none", "no-such-program-anywhere")

    async with app.worker():
        end = await ended(app, missing.job())

    assert "there is no program 'no-such-program-anywhere'" in end.error


@pytest.mark.parametrize(
    "options",
    [
        {"command": ["x"]}, {"executor": "command", "command": "x y"},
        {"executor": "command", "command": []},
        {"executor": "command", "command": ["x"], "delivery": "transactional"},
    ],
)  # fmt: skip
def test_a_declaration_that_cannot_be_is_refused(options):
    with pytest.raises(BadInput):
        App("postgresql://").task(name="t", **options)(_plain)


def test_a_coroutine_function_gives_no_command():
    async def coroutine() -> list[str]:
        return ["true"]

    with pytest.raises(BadInput):
        App("postgresql://").task(name="t", executor="command")(coroutine)


def _plain() -> None: ...


async def test_a_job_claimed_by_hand_runs_its_program_too(app):
    command(app, "echo", "cat")
    await app.enqueue(app.tasks["echo"].job(n=1))

    [claimed] = await app.run(jobs.claim(n=1))
    outcome = await app.perform(claimed)

    assert outcome.result == '{"n":1}'


async def test_programs_hand_on_their_results_in_a_workflow_and_a_pipeline(app, eventually, db):
    command(app, "list", "sh", "-c", 'cat >/dev/null; echo \'[{"n": 1}, {"n": 2}]\'')

    @app.task(name="echo", executor="command", command=["cat"])
    def echo(*, n: int = 0, words: Sequence[str] = (), word: str = "", items: Any = ()) -> None: ...

    flow = (
        Workflow("chain")
        .add("first", echo.job(n=1, words=["a", "b"]))
        .add("second", echo.job(word=result("first", "words", 1)))
    )
    steps = '["list", "echo", {"task": "echo", "gather": true}]'
    db.execute("select howdah.put_pipeline('programs', '1', 1, %s)", [steps])

    async with app.worker():
        run = await app.enqueue(flow)
        [request] = db.execute("select howdah.start_request(array['programs'])").fetchone()
        await eventually(lambda: None not in _results(db, run, request))

    assert _results(db, run, request) == [{"word": "b"}, [{"items": [{"n": 1}, {"n": 2}]}]]


def _results(db, *runs):
    found = db.execute("select id, result from howdah.workflows where state = 'succeeded'")
    by_id = dict(found.fetchall())
    return [by_id.get(run) for run in runs]
