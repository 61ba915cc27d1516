"""Looks at all that waits, then moves it, some thousand jobs in a transaction."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

from howdah import store
from howdah.call import Call, function
from howdah.doors import AsyncDoor, on
from howdah.enqueuing import fields_of
from howdah.errors import BadInput, Conflict, Denied, NotFound
from howdah.importing.plan import Plan
from howdah.importing.report import Report
from howdah.importing.sources import Source, Waiting
from howdah.job import Job

PER_TRANSACTION = 5_000  # jobs, and with each those that share its lock
PER_CALL = 1_000
PER_READ = 200  # rows that are in memory at once, before their size is known
BYTES = 4 * 1024 * 1024  # of arguments in a call
BEFORE_ALL: Final = -(2**63)
_NAMES: Final = UUID("2f0e3c1a-54a5-4d0b-8a2f-6a8d6a1f5b70")  # of ids made from another database's
Progress = Callable[[int], object]


async def import_jobs(
    here: Any,
    source: Source,
    plan: Plan | None = None,
    *,
    there: Any = None,
    schema: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Move the jobs that wait in the source; gives what was moved, and what was left.

    `here` and `there` are connections of asyncpg outside of transactions; without `there` both are
    in one database, and a job is taken there and enqueued here in one transaction. With it they
    are two, the one here first: what is cut off in between is found, by ids made of the source's,
    when the import is repeated, and the source's workers must not run until it was.

    Looks at all jobs first. Where one cannot come nothing is moved: the report has the flaws, as
    with `dry_run`. `progress` is given how many are moved, after each transaction.
    """
    door = on(here, schema=schema)
    plan = await _with_declared(door, plan or Plan())
    origin = here if there is None else there
    await _check(origin, source)
    newest = await origin.fetchval(f"select coalesce(max(id), 0) from {source.table}")
    report = await _looked(origin, source, plan, newest)
    if not dry_run and not report.flaws:
        identity = None if there is None else await _identity(there, source)
        report = Report(source.system, dry_run=False)
        move = _Move(source, plan, door, here, origin, identity, newest, report)
        while await move.some():
            if progress is not None:
                progress(report.jobs)
    await _count_left(origin, source, plan, report, newest)
    return report


async def _with_declared(door: AsyncDoor, plan: Plan) -> Plan:
    """The plan, which knows what workers have declared."""
    try:
        found = {task.name: task.max_attempts for task in await door.run(store.tasks())}
    except Denied:  # a producer need not see them; then only what an App has is known
        found = {}
    return replace(plan, declared={**found, **plan.declared})


async def _check(origin: Any, source: Source) -> None:
    """Raises NotFound where the source is not there, or not as it is known here."""
    for table, columns in source.needs.items():
        found = await origin.fetch(
            "select attname from pg_attribute where attrelid = to_regclass($1) and attnum > 0",
            table,
        )
        if not found:
            raise NotFound(
                f"there is no table {table}", hint=f"Where is it? Say --schema. {source.hint}"
            )
        if missing := {*columns} - {row[0] for row in found}:
            raise NotFound(
                f"the table {table} has no column {min(missing)}: {source.system} there is too old",
                hint=source.hint,
            )


async def _looked(origin: Any, source: Source, plan: Plan, newest: int) -> Report:
    """What would be moved, and what is wrong with it; nothing is locked."""
    report = Report(source.system, dry_run=True)
    last = BEFORE_ALL
    while rows := await origin.fetch(
        f"select {source.columns} from {source.table} where {source.waiting} and "
        f"{_wanted(source)} and id > $2 and id <= $3 order by id limit $4",
        [*plan.leave],
        last,
        newest,
        PER_READ,
    ):
        for waiting in map(source.read, rows):
            last = waiting.id
            try:
                job = plan.job(waiting, source.system)
            except BadInput as error:
                report.flawed(waiting.task, error.message, waiting.id)
            else:
                report.add(waiting.task, job.task)
    return report


def _wanted(source: Source) -> str:
    """Not to be left, by its task: $1 are those that are."""
    own = "".join(f" and not ({other})" for other in source.others.values())
    return f"not {source.task} = any($1::text[]){own}"


async def _count_left(origin: Any, source: Source, plan: Plan, report: Report, newest: int) -> None:
    counted = {
        what: await origin.fetchval(f"select count(*) from {source.table} where {which}")
        for what, which in source.others.items()
    }
    counted["are of tasks that are to be left"] = await origin.fetchval(
        f"select count(*) from {source.table} where {source.waiting} "
        f"and {source.task} = any($1::text[])",
        [*plan.leave],
    )
    if not report.dry_run:
        counted["wait for one that runs there, or were just being taken"] = await origin.fetchval(
            f"select count(*) from {source.table} where {source.waiting} and {_wanted(source)} "
            "and id <= $2",
            [*plan.leave],
            newest,
        )
    report.left.update({what: n for what, n in counted.items() if n})


async def _identity(there: Any, source: Source) -> str:
    """What tells this table from all others, wherever they are."""
    found: str = await there.fetchval(
        "select concat_ws('/', (select system_identifier from pg_control_system()), "
        "current_database(), to_regclass($1)::oid)",
        source.table,
    )
    return found


@dataclass(slots=True)
class _Move:
    """Takes jobs there and enqueues them here, until there are no more."""

    source: Source
    plan: Plan
    door: AsyncDoor
    here: Any
    there: Any
    identity: str | None  # of a source in another database
    newest: int
    report: Report
    last: int = BEFORE_ALL

    async def some(self) -> bool:
        """Move the next, in a transaction; False when there were none."""
        async with self.there.transaction(isolation="read_committed"):
            await self._see_theirs()
            await self._alone()
            head = await self._head()
            if not head:
                return False
            self.last = head[-1][0]
            locks = {lock for _, lock in head if lock is not None}
            free = locks - await self._held(sorted(locks))
            ids = [job_id for job_id, lock in head if lock is None]
            moved = Report(self.source.system, dry_run=False)
            async with self._transaction_here():
                async for jobs in self._read(ids, sorted(free)):
                    await self._move(jobs, moved)
        self.report.merge(moved)
        return True

    async def _see_theirs(self) -> None:
        """Their triggers name tables without the schema, as their workers find them."""
        await self.there.execute(
            "select set_config('search_path', "
            "concat_ws(', ', $1::text, nullif(current_setting('search_path'), '')), true)",
            self.source.schema,
        )

    async def _alone(self) -> None:
        """One import of a table at a time: two would wait for each other's locks in a circle."""
        if not await self.there.fetchval(
            "select pg_try_advisory_xact_lock(hashtext('howdah import'), hashtext($1))",
            self.source.table,
        ):
            raise Conflict(
                f"{self.source.table} is being imported by somebody else just now",
                hint="Wait for it, and import again: what is left will come.",
            )

    async def _head(self) -> list[tuple[int, str | None]]:
        """The next jobs, locked; those that a worker is just taking are passed by."""
        rows = await self.there.fetch(
            f"select id, {self.source.lock or 'null'} from {self.source.table} "
            f"where {self.source.waiting} and {_wanted(self.source)} and id > $2 and id <= $3 "
            "order by id limit $4 for update skip locked",
            [*self.plan.leave],
            self.last,
            self.newest,
            PER_TRANSACTION,
        )
        return [(row[0], row[1]) for row in rows]

    async def _held(self, locks: Sequence[str]) -> set[str]:
        """Locks that a running job holds. All that wait for the others are ours from here on.

        Jobs of one lock go over together: never does one run there while another runs here.
        """
        if not locks:
            return set()
        source = self.source
        await self.there.fetchval(
            f"with ours as (select from {source.table} where {source.waiting} "
            f"and {source.lock} = any($1::text[]) order by id for update) "
            "select count(*) from ours",
            locks,
        )
        rows = await self.there.fetch(
            f"select distinct {source.lock} from {source.table} where {source.running} "
            f"and {source.lock} = any($1::text[])",
            locks,
        )
        return {row[0] for row in rows}

    async def _read(
        self, ids: Sequence[int], locks: Sequence[str]
    ) -> AsyncGenerator[list[Waiting], None]:
        """The jobs, in the order in which they would run there, as many as go into a call."""
        wanted = (
            f"select {self.source.columns} from {self.source.table} "
            f"where {self.source.waiting} and {_wanted(self.source)} and "
        )
        parts, values = [f"{wanted} id = any($2::bigint[])"], [[*self.plan.leave], ids]
        if locks:
            parts.append(f"{wanted} {self.source.lock} = any($3::text[])")
            values.append(locks)
        cursor = await self.there.cursor(
            f"with ours as ({' union all '.join(parts)}) select * from ours "
            "order by priority desc, id",
            *values,
        )
        some: list[Waiting] = []
        size = 0
        while rows := await cursor.fetch(PER_READ):
            for waiting in map(self.source.read, rows):
                some.append(waiting)
                size += len(waiting.args)
                if len(some) == PER_CALL or size > BYTES:
                    yield some
                    some, size = [], 0
        if some:
            yield some

    async def _move(self, waiting: list[Waiting], moved: Report) -> None:
        jobs = [self.plan.job(one, self.source.system, self._id(one)) for one in waiting]
        created = await self.door.run(_enqueue(jobs))
        taken = await self.there.fetchval(self.source.take, [one.id for one in waiting])
        if taken != len(waiting):
            raise Conflict(
                f"{len(waiting) - taken} jobs in {self.source.table} were taken by somebody else, "
                "though they are locked",
                hint="Nothing of them was imported. Does a trigger there keep rows as they are?",
            )
        for one, job, is_new in zip(waiting, jobs, created, strict=True):
            moved.add(one.task, job.task, found=not is_new)

    def _id(self, waiting: Waiting) -> UUID | None:
        """In two databases: an id that the same job gets again."""
        if self.identity is None:
            return None
        return uuid5(_NAMES, f"{self.identity}/{waiting.id}/{waiting.task}/{waiting.args!r}")

    def _transaction_here(self) -> AbstractAsyncContextManager[object]:
        """Commits before the one there does."""
        if self.identity is None:
            return nullcontext()
        transaction: AbstractAsyncContextManager[object] = self.here.transaction()
        return transaction


def _enqueue(jobs: Sequence[Job]) -> Call[list[bool]]:
    """Store the jobs; gives of each whether it is new."""
    fields = msgspec.json.encode([fields_of(job) for job in jobs]).decode()
    return function(
        "enqueue_json",
        "created",
        lambda rows: [bool(row[0]) for row in rows],
        jobs=("jsonb", fields),
    )
