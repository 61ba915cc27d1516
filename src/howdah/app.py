"""The app: where tasks are declared, jobs enqueued, results awaited and workers made."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload
from uuid import UUID

import msgspec

from howdah import jobs, listeners, schedules
from howdah.call import Call
from howdah.client import AsyncClient, Client
from howdah.context import Context
from howdah.declaring import declare
from howdah.decorators import Attaches, Declares
from howdah.doors import AsyncDoor, AwaitsCommit, Commits, Fetches, SyncDoor, on
from howdah.durations import Duration
from howdah.errors import BadInput, Conflict, UnknownTask
from howdah.events import Events
from howdah.foreground import run_worker
from howdah.job import Job, Startable
from howdah.keys import Keyed
from howdah.listeners import Listener, make_listener
from howdah.logs import write_logs
from howdah.loops import PerLoop
from howdah.naming import package_of
from howdah.outcome import Outcome
from howdah.registry import Registry
from howdah.reporter import Reporter
from howdah.retry import Retry
from howdah.rows import Claimed
from howdah.schedules import Declared, Schedule, make_schedule
from howdah.settings import Settings, load
from howdah.stream import BATCH, Progress, stream, stream_sync
from howdah.task import Task
from howdah.urls import HTTP, Http
from howdah.waits import Waits
from howdah.watching import Change, watch
from howdah.worker import Worker
from howdah.worker.by_hand import perform
from howdah.worker.lifespan import AnyContextManager

if TYPE_CHECKING:
    from howdah.source import Source

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class App:
    """Tasks, and the way to their store.

    App() takes its settings from the environment and the project's files; arguments win over both:
    App("postgresql://…", schema="queue"). `async with app` opens its connections and closes them;
    without it the first use opens them.

    `lifespan` is called with the app and gives a context manager, async or not: a worker enters it
    once per process, before its first job, and leaves it after its last; what it yields is
    `ctx.resources`.
    """

    def __init__(
        self,
        database_url: str | None = None,
        *,
        lifespan: Callable[[App], AnyContextManager] | None = None,
        **settings: Any,
    ) -> None:
        if lifespan is not None and not callable(lifespan):
            raise BadInput(
                f"a lifespan is called with the app, and {lifespan!r} cannot be called",
                hint="Give the function itself: App(lifespan=opened), not opened().",
            )
        self.lifespan = lifespan
        self.tasks = Registry()
        self.schedules: dict[str, Schedule] = {}
        self.listeners: dict[str, Listener] = {}
        self.events = Events()
        self._arguments = {"database_url": database_url, **settings}
        self._settings: Settings | None = None
        self._client: AsyncClient | None = None
        self._sync_client: Client | None = None
        self._waits = PerLoop(lambda: Waits(self.client))
        self._guard = threading.Lock()
        self._reports = False  # what its workers do, as log lines

    @property
    def settings(self) -> Settings:
        """The settings, read when they are first needed."""
        if self._settings is None:
            self._settings = load(self._arguments).settings
        return self._settings

    def use(self, settings: Settings) -> None:
        """Take these settings instead; what is connected by the old ones is left to its loop."""
        with self._guard:
            self._settings = settings
            self._client = self._sync_client = None
            self._waits = PerLoop(lambda: Waits(self.client))

    # Declaring

    # A Context that comes first is the worker's to give: jobs are made without it.
    @overload
    def task(self, function: Callable[Concatenate[Context, P], R], /) -> Task[P, R]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        retry: Retry | None = None,
        timeout: Duration | None = None,
        no_timeout: bool = False,
        delivery: str | None = None,
        executor: str | None = None,
        connection: str | None = None,
        command: Sequence[str] | None = None,
        unique: str | None = None,
        version: str | None = None,
        **keyed: Unpack[Keyed],
    ) -> Declares: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        retry: Retry | None = None,
        timeout: Duration | None = None,
        no_timeout: bool = False,
        delivery: str | None = None,
        executor: str | None = None,
        connection: str | None = None,
        command: Sequence[str] | None = None,
        unique: str | None = None,
        version: str | None = None,
        **keyed: Unpack[Keyed],
    ) -> Any:
        """Declare a function as a task; `async def` runs on the loop, `def` in a thread.

        Its name is the dotted name from its module on, unless one is given; what a script run by
        itself declares is named as by those who import the script. `timeout` (60 s unless
        told otherwise) counts from the start of each attempt. `executor="process"` runs it in a
        process of its own, which can be killed. `executor="command"` runs a program: `command`, or
        what the function returns, a list; it gets the arguments on stdin as JSON, and what it
        prints is the result. With `delivery="transactional"` its Context has a
        `connection` (of asyncpg; or `connection="psycopg"`, "sqlalchemy", "django") whose commit
        carries the job's end: see Context. `unique` and `serial_key` are templates of keys,
        `"user:{user_id}"`; they and the other options about keys are told in howdah.keys.Keyed.
        Several functions may be versions of one task, with one `name` and each its `version`.
        Raises BadInput, BadArguments or Conflict.
        """

        def declared(what: Callable[..., Any]) -> Task[..., Any]:
            if isinstance(what, Task):
                raise BadInput(
                    f"{what.name} is a task already",
                    hint="Write @app.task in the line below @app.schedule and @app.listen.",
                )
            return self._add(
                declare(
                    self,
                    what,
                    name=name,
                    queue=queue,
                    priority=priority,
                    retry=retry,
                    timeout=timeout,
                    no_timeout=no_timeout,
                    delivery=delivery,
                    executor=executor,
                    connection=connection,
                    command=command,
                    unique=unique,
                    version=version,
                    **keyed,
                )
            )

        return declared if function is None else declared(function)

    def _add(self, task: Task[..., Any]) -> Task[..., Any]:
        if task.name == HTTP:
            raise BadInput(
                f"the name {HTTP!r} is Howdah's own: it calls URLs",
                hint="Give the task another name: @app.task(name=…).",
            )
        known = self.tasks.get(task.name)
        is_same_name = known is not None and known.name == task.name
        if known is not None and is_same_name and known.function is not task.function:
            code = getattr(inspect.unwrap(known.function), "__code__", None)
            where = f", at {code.co_filename}, line {code.co_firstlineno}" if code else ""
            raise Conflict(
                f"a task {task.name!r} is declared already{where}",
                hint="Give one of the two another name: @app.task(name=…).",
            )
        self.tasks.add(task)
        return task

    def schedule(
        self,
        cron: str | None = None,
        /,
        *,
        every: Duration | None = None,
        rrule: str | None = None,
        tz: str = "UTC",
        name: str | None = None,
        args: Mapping[str, Any] | None = None,
        missed: str = "one",
        missed_after: Duration = 60,
        missed_within: Duration = "1d",
        overlap: str = "allow",
    ) -> Attaches:
        """Have a task's jobs made by time: `@app.schedule("0 8 * * *", tz="Europe/Berlin")` above
        its `@app.task`, or above a function, which makes it a task. Workers keep it in the store,
        and fire each tick once.

        By a cron line (a sixth field in front is for seconds), `every` so long, or an `rrule` of
        RFC 5545. `args` are the arguments of each job; its headers say which `schedule` and `tick`
        it is of. A second schedule of a task needs a `name`; the first has the task's. Ticks that
        nobody was there to fire for longer than `missed_after` are `missed`: "skip", "one" (the
        last) or "all" of them, of those within `missed_within`. While the job before has not ended,
        `overlap` says to "allow", "skip" or "replace" it. Raises BadInput, BadArguments, Conflict.
        """

        def declared(what: Callable[..., Any]) -> Any:
            task: Task[..., Any] = what if isinstance(what, Task) else self.task(what)
            job = task.job_of(msgspec.json.encode(dict(args or {})).decode())
            schedule = make_schedule(
                task.name if name is None else name,
                job,
                cron,
                every=every,
                rrule=rrule,
                tz=tz,
                missed=missed,
                missed_after=missed_after,
                missed_within=missed_within,
                overlap=overlap,
            )
            _declare_once(
                schedule, schedule.name, self.schedules, kind="schedule", decorator="schedule"
            )
            return task

        return declared

    def listen(
        self,
        event: str,
        /,
        *,
        name: str | None = None,
        args: Mapping[str, Any] | None = None,
        delay: Duration | None = None,
        collapse: bool = False,
        collapse_on: str | None = None,
    ) -> Attaches:
        """Have a task's jobs made by events: `@app.listen("user.created")` above its `@app.task`,
        or above a function, which makes it a task.

        `event` is a name, or a prefix with a `*` behind it; every end of a job is an event too,
        `job.<state>.<queue>.<task>`. The task's argument `event` is a dict of name, listener, at
        and data. With `collapse` it is `events`, a list of those: what is emitted while the job
        waits, for `delay` at least, is added to it; `collapse_on` names a member of the data, and
        gathers by its value. `args` are further arguments. Raises BadInput, BadArguments, Conflict.
        """

        def declared(what: Callable[..., Any]) -> Any:
            task: Task[..., Any] = what if isinstance(what, Task) else self.task(what)
            called = task.name if name is None else name
            text = msgspec.json.encode(dict(args or {})).decode()
            job = Job(task.name, text, task.job_options)
            listener = make_listener(
                called, event, job, delay=delay, collapse=collapse, collapse_on=collapse_on
            )
            _declare_once(listener, called, self.listeners, kind="listener", decorator="listen")
            return task

        return declared

    async def emit(self, event: str, data: Any = None) -> int:
        """Emit an event in a transaction of its own; gives how many listeners got a job."""
        return await self.run(listeners.emit(event, data))

    @property
    def declares(self) -> dict[str, Call[list[Declared]]]:
        """What has the store keep the schedules and listeners, by the packages that declare them;
        said by packages that have none, too: they may have had some.
        """
        packages = {name: package_of(task.function) for name, task in self.tasks.items()}
        if not packages:
            return {}
        made: dict[str, list[Schedule]] = {package: [] for package in packages.values()}
        heard: dict[str, list[Listener]] = {package: [] for package in packages.values()}
        for schedule in self.schedules.values():
            made[packages[self.tasks.get(schedule.job.task).name]].append(schedule)
        for listener in self.listeners.values():
            heard[packages[self.tasks.get(listener.job.task).name]].append(listener)
        return {"schedule": schedules.declare(made), "listener": listeners.declare(heard)}

    # Asking the store

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def client(self) -> AsyncClient:
        """The client that runs Calls on this app's own connections."""
        with self._guard:
            if self._client is None:
                self._client = AsyncClient(self.settings)
            return self._client

    @property
    def sync_client(self) -> Client:
        """The same where there is no event loop."""
        with self._guard:
            if self._sync_client is None:
                self._sync_client = Client(self.settings)
            return self._sync_client

    async def run(self, call: Call[T]) -> T:
        """Run a call: `await app.run(jobs.cancel(job_id))`."""
        return await self.client.run(call)

    async def enqueue(self, job: Job | Startable) -> UUID:
        """Store a job, or a workflow, in a transaction of its own; gives its id."""
        return await self.run(jobs.enqueue(job))

    async def enqueue_many(self, many: Iterable[Job]) -> list[UUID]:
        """Store up to 10,000 jobs in a round trip, all or none; gives their ids in order."""
        return await self.run(jobs.enqueue_many(many))

    def enqueue_sync(self, job: Job | Startable) -> UUID:
        """Store a job where there is no event loop."""
        return self.sync_client.run(jobs.enqueue(job))

    async def enqueue_stream(
        self,
        many: Iterable[Job] | AsyncIterable[Job],
        *,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> int:
        """Store any number of jobs, in order and in bounded memory; gives how many.

        Each batch (1 to 10,000) is a transaction of its own; after it, `progress` is called with
        how many are in. Raises BadItem, which says where it stopped and what was stored before.
        """
        return await stream(self.run, many, batch=batch, progress=progress)

    def enqueue_stream_sync(
        self, many: Iterable[Job], *, batch: int = BATCH, progress: Progress | None = None
    ) -> int:
        """The same where there is no event loop."""
        return stream_sync(self.sync_client.run, many, batch=batch, progress=progress)

    @overload
    def on(self, connection: Commits) -> SyncDoor: ...

    @overload
    def on(self, connection: AwaitsCommit | Fetches) -> AsyncDoor: ...

    def on(self, connection: Any) -> Any:
        """The verbs on a connection of the caller's, in its transaction, with this app's schema."""
        return on(connection, schema=self.settings.schema)

    @property
    def http(self) -> Http:
        """Jobs that call URLs: `app.http.job("GET", url)`, `await app.http.call(url)`."""
        return Http(self)

    async def result(self, job_id: UUID, timeout: Duration | None = None) -> Any:
        """Wait for a job's end; gives what its task returned, as JSON types.

        Raises JobFailed, JobCancelled, NotFound, and TimeoutError when it has not ended in time.
        """
        return await self._waits.here().result(job_id, timeout)

    def watch(self, queue: str) -> AsyncGenerator[Change, None]:
        """The states of a queue's jobs as they change: `async for change in app.watch("mail")`.

        Ids and states only. What changes while the connection is lost is not told; it is opened
        again by itself.
        """
        return watch(self.settings, queue)

    async def close(self) -> None:
        """Close this event loop's connections, and the sync ones; the next use opens them again."""
        if self._client is not None:
            await self._waits.here().close()
            await self._client.close()
        if self._sync_client is not None:
            await asyncio.to_thread(self._sync_client.close)

    # Running jobs

    async def perform(self, claimed: Claimed) -> Outcome:
        """Attempt a job that was claimed by hand; gives what came of it, to be finished by hand:
        `await app.run(jobs.finish([outcome]))`, or ack with `outcome.result`. Runs here whatever
        its executor; without the lifespan's resources. Raises UnknownTask.

        A success of a transactional task is stored already, with the task's own commit; to finish
        it once more changes nothing (the store answers "done"). Its connection is for this one job.
        """
        task = self.tasks.get(claimed.task)
        if task is None:
            raise UnknownTask(claimed.task)
        return await perform(claimed, task, self.settings, self.run)

    def worker(
        self,
        *,
        queues: Sequence[str] | None = None,
        slots: int | None = None,
        name: str | None = None,
    ) -> Worker:
        """A worker inside this process: `async with app.worker(queues=["mail"]): …`.

        It logs to `howdah.worker`; where those lines go is the program's to say.
        """
        self._report()
        return Worker(
            self.tasks,
            self.settings,
            self.events,
            queues=queues,
            slots=slots,
            name=name,
            lifespan=None if self.lifespan is None else partial(self.lifespan, self),
            source=self._source,
            declares=self.declares,
        )

    def _report(self) -> None:
        """Once, however many workers there are."""
        if not self._reports:
            self._reports = True
            self.events.subscribe(Reporter(self.settings))

    def _source(self) -> Source:
        from howdah.source import source_of

        return source_of(self)

    def run_worker(
        self,
        *,
        queues: Sequence[str] | None = None,
        slots: int | None = None,
        name: str | None = None,
        burst: bool = False,
    ) -> None:
        """Block in a worker until SIGTERM or SIGINT; with `burst` until nothing is left to do.

        Writes what `howdah worker` writes to stderr, unless the program has set up logging. In
        another thread than the main one it hears no signals: `howdah workers drain` ends it.
        """
        write_logs()
        run_worker(self.worker(queues=queues, slots=slots, name=name), burst=burst)


def _declare_once(
    declared: T, name: str, known: dict[str, T], *, kind: str, decorator: str
) -> None:
    """Under its name, where nothing else is declared; the same once more changes nothing."""
    if known.setdefault(name, declared) != declared:
        raise Conflict(
            f"a {kind} {name!r} is declared already",
            hint=f"Give one of the two another name: @app.{decorator}(…, name=…).",
        )
