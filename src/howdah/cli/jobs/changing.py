"""What retry, cancel, delete and run-now share: which jobs, are you sure, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import click

from howdah import jobs
from howdah.call import Call
from howdah.cli import database, exits, show
from howdah.cli.asking import confirm
from howdah.cli.jobs.finding import job_ids, matching
from howdah.cli.options import as_json, filters
from howdah.doors import AsyncDoor
from howdah.errors import BadInput, Conflict, HowdahError, no_job

MOST = 10_000  # jobs that filters can find for one command


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """Something that can be done to a job.

    `states` are those in which filters look for jobs; `refusal` says why the call did nothing.
    """

    name: str
    past: str
    call: Callable[[UUID], Call[bool]]
    states: Sequence[str]
    refusal: str


def verb_command(verb: Verb, help_text: str) -> click.Command:
    """The command that does it, to jobs given by ids or found by filters."""

    @click.command(verb.name, help=help_text)
    @click.argument("ids", metavar="[ID]...", nargs=-1)
    @filters
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @click.option("--dry-run", is_flag=True, help="Only say how many there are.")
    @as_json
    def command(
        *,
        ids: tuple[str, ...],
        older: float | None,
        newer: float | None,
        yes: bool,
        dry_run: bool,
        as_json: bool,
        **texts: str | None,
    ) -> int:
        given = {**texts, "older_than": older, "newer_than": newer}
        wanted = {name: value for name, value in given.items() if value is not None}
        if bool(ids) == bool(wanted):
            raise BadInput(
                "name jobs by their ids, or find them by filters",
                hint=f"howdah jobs {verb.name} ID…, or howdah jobs {verb.name} --queue mail",
            )
        settings = database.found()
        found = database.with_store(lambda store: _found(store, verb, ids, wanted), settings)
        more = " (the first of more)" if len(found) == MOST else ""
        what = f"{verb.name} {_jobs(len(found))}{more}"
        if (wanted or dry_run) and not confirm(what, yes=yes or not found, dry_run=dry_run):
            _show(verb, [], {}, found, as_json=as_json)
            return 0
        done, refused = database.with_store(lambda store: _do(store, verb, found), settings)
        return _show(verb, done, refused, found, as_json=as_json)

    return command


async def _found(
    store: AsyncDoor, verb: Verb, ids: Sequence[str], wanted: Mapping[str, Any]
) -> list[UUID]:
    if ids:
        return await job_ids(store, ids)
    state = wanted.get("state")
    if state is not None and state not in jobs.STATES:
        raise BadInput(f"{state!r} is no state", hint=f"States are {', '.join(jobs.STATES)}.")
    states = [state] if state is not None else verb.states
    others = {name: value for name, value in wanted.items() if name != "state"}
    return await matching(store, states, others, MOST)


async def _do(
    store: AsyncDoor, verb: Verb, ids: Sequence[UUID]
) -> tuple[list[UUID], dict[UUID, HowdahError]]:
    done: list[UUID] = []
    refused: dict[UUID, HowdahError] = {}
    for job_id in ids:
        try:
            if await store.run(verb.call(job_id)):
                done.append(job_id)
            else:
                refused[job_id] = await _refusal(store, verb, job_id)
        except Conflict as error:
            refused[job_id] = error
    return done, refused


async def _refusal(store: AsyncDoor, verb: Verb, job_id: UUID) -> HowdahError:
    job = await store.run(jobs.get(job_id))
    if job is None:
        return no_job(job_id)
    return Conflict(f"job {job_id} is {job.state}: {verb.refusal}")


def _show(
    verb: Verb,
    done: Sequence[UUID],
    refused: Mapping[UUID, HowdahError],
    found: Sequence[UUID],
    *,
    as_json: bool,
) -> int:
    if as_json:
        told = [{"id": str(job_id), "error": error.message} for job_id, error in refused.items()]
        show.document(
            {"found": len(found), verb.past: [str(job_id) for job_id in done], "refused": told}
        )
    else:
        for job_id in done:
            click.echo(f"{verb.past} {job_id}")
    return exits.tell_all(refused.values())


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"
