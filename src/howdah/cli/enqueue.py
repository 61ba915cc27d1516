"""`howdah enqueue`: stores a job, or one for each line of a file."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

import click
import msgspec
from msgspec.structs import replace

from howdah import jobs, store
from howdah.arguments import encode
from howdah.cli import database, show, waiting
from howdah.cli.apps import chosen_app
from howdah.cli.lines import enqueue_lines
from howdah.cli.options import DURATION, MOMENT
from howdah.cli.options import as_json as json_option
from howdah.doors import AsyncDoor
from howdah.errors import BadInput, Denied, UnknownTask
from howdah.job import Job, check_task_name, make_options

if TYPE_CHECKING:
    from howdah.task import Task


@click.command("enqueue")
@click.argument("task")
@click.argument("arguments", metavar="[JSON]", required=False)
@click.option(
    "--jsonl",
    "lines",
    type=click.File("rb"),
    metavar="FILE",
    help="A job for each line of FILE (-: stdin): its arguments, a JSON object. Any number.",
)
@click.option("--all-or-nothing", "is_one", is_flag=True, help="With --jsonl: in one transaction.")
@click.option("--in", "delay", type=DURATION, help="Run it so long from now: 30s, 5m, 2h.")
@click.option("--at", "run_at", type=MOMENT, help="Run it at this moment: 2030-01-31T08:00:00Z.")
@click.option("--queue", "-q", help="The queue, instead of the task's.")
@click.option("--priority", type=int, help="Greater runs first.")
@click.option(
    "--unique", "unique_key", help="At most one unfinished job has this key; its id is given."
)
@click.option("--serial", "serial_key", help="Jobs of this key run one at a time, in order.")
@click.option("--limit", "limit_keys", multiple=True, help="A limit it counts against.")
@click.option("--max-attempts", type=int, help="Attempts in all.")
@click.option("--timeout", type=DURATION, help="How long one attempt may take.")
@click.option("--tag", "tags", multiple=True, help="To find it by.")
@click.option(
    "--app", "app_name", help="Check the arguments by this App's task (package.module:app)."
)
@click.option(
    "--strict", is_flag=True, help="Refuse a task that neither the App nor any worker has declared."
)
@click.option(
    "--wait", is_flag=True, help="Wait for its end and print its result; exit code 1 if it failed."
)
@click.option(
    "--wait-timeout",
    "within",
    type=DURATION,
    help="The same, for so long at most; exit code 124 if it has not ended by then: it goes on.",
)
@json_option
def command(
    *,
    task: str,
    arguments: str | None,
    lines: IO[bytes] | None,
    is_one: bool,
    app_name: str | None,
    strict: bool,
    wait: bool,
    within: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Store a job of TASK with arguments, a JSON object; - reads it from stdin.

    Prints the job's id. With --jsonl it stores a job for each line of a file, a thousand in a
    transaction, and prints how many; a line that does not fit stops it.
    """
    waits = wait or within is not None
    _check_together(arguments, lines, is_one, waits, options["unique_key"])
    app = chosen_app(app_name)
    known = app.tasks.get(task) if app else None
    options["tags"] = options["tags"] or None
    options["limit_keys"] = options["limit_keys"] or None
    make = _maker(task, known, options)
    doubt = strict if known is None else None
    if lines is not None:
        settings = database.ready(app.settings if app else None)
        count = enqueue_lines(
            lines, make, settings, first=lambda door: _look_up(door, task, doubt), is_one=is_one
        )
        if as_json:
            show.document({"enqueued": count})
        else:
            click.echo(count)
        return
    job = make(
        sys.stdin.buffer.read()
        if arguments == "-"
        else (arguments or "{}").encode("utf-8", "surrogateescape")
    )
    settings = database.ready(app.settings if app else None)
    job_id = database.with_store(lambda door: _store(door, job, doubt), settings)
    if waits:
        waiting.wait(settings, job_id, within=within, as_json=as_json)
    elif as_json:
        show.document({"id": str(job_id)})
    else:
        click.echo(str(job_id))


async def _store(door: AsyncDoor, job: Job, strict: bool | None) -> UUID:
    """The id of the stored job."""
    await _look_up(door, job.task, strict)
    job_id: UUID = await door.run(jobs.enqueue(job))
    return job_id


def _check_together(
    arguments: str | None, lines: object, is_one: bool, wait: bool, unique_key: str | None
) -> None:
    if lines is None:
        if is_one:
            raise click.UsageError("--all-or-nothing goes with --jsonl")
        return
    if arguments is not None:
        raise click.UsageError("give arguments, or lines of them with --jsonl, not both")
    if wait or unique_key is not None:
        raise click.UsageError(
            f"{'--wait' if wait else '--unique'} is for one job, and --jsonl makes many"
        )


def _maker(
    task: str, known: Task[..., Any] | None, options: dict[str, Any]
) -> Callable[[bytes], Job]:
    """Makes jobs of JSON, checked by the App's declaration where there is one."""
    if known is not None:
        chosen = known.options(**options)
        return lambda text: replace(chosen.job_of(json_object(task, text)), task=task)
    name, made = check_task_name(task), make_options(**options)
    return lambda text: Job(name, json_object(task, text), made)


async def _look_up(door: AsyncDoor, task: str, strict: bool | None) -> None:
    """Refuse a task that nobody has declared, or say that its job gets the default options.

    With `strict` None the App has declared it, and nothing is looked up.
    """
    if strict is None:
        return
    try:
        declared = [known.name for known in await door.run(store.tasks())]
    except Denied:
        if strict:
            raise
        return  # a producer need not see them
    if task in declared:
        return
    near = difflib.get_close_matches(task, declared, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    if strict:
        raise UnknownTask(task, hint=f"Start a worker that declares it first.{guess}")
    show.said(f"note: no worker has declared {task}: its job gets the default options.{guess}")


def json_object(task: str, text: bytes) -> str:
    """The JSON as it was written, if it is an object that can be stored."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadInput(
            f"the arguments are no JSON: {error}",
            hint="""Write for example '{"to": "ada@example.org"}'.""",
        ) from error
    if not isinstance(value, dict):
        raise BadInput(
            "the arguments are no JSON object",
            hint="""Name them: '{"user_id": 7}'; none are '{}'.""",
        )
    encode(task, value)
    return text.decode()
