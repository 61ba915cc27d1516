"""A declared function: its name, how its jobs run, and how a call of it becomes a job."""

from __future__ import annotations

import functools
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from copy import copy
from datetime import datetime
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, Unpack
from uuid import UUID

import msgspec
from msgspec.structs import replace

from howdah.arguments import Arguments
from howdah.durations import Duration, seconds
from howdah.errors import BadArguments, BadInput
from howdah.job import NO_OPTIONS, After, Job, Options, make_options
from howdah.keys import Keyed, Keys, filled
from howdah.references import Reference, of_task
from howdah.retry import Retry
from howdah.stream import BATCH, Progress
from howdah.versions import named

P = ParamSpec("P")
R = TypeVar("R")


class Enqueues(Protocol):
    """Where a task's jobs go: the app."""

    async def enqueue(self, job: Job, /) -> UUID:
        """Store a job; gives its id."""
        ...

    def enqueue_sync(self, job: Job, /) -> UUID:
        """The same where there is no event loop."""
        ...

    async def enqueue_stream(
        self,
        many: Iterable[Job] | AsyncIterable[Job],
        /,
        *,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> int:
        """Store any number of jobs; gives how many."""
        ...

    def enqueue_stream_sync(
        self, many: Iterable[Job], /, *, batch: int = BATCH, progress: Progress | None = None
    ) -> int:
        """The same where there is no event loop."""
        ...


class Task(Generic[P, R]):
    """A function declared with `@app.task`. Calling it calls the function.

    Attributes:
        name: the key by which workers find it.
        function: what was declared.
        body: what a worker calls: the function, or what its app has put around it.
        options: how jobs made here are to be run.
        retry: when failed attempts are tried again.
        executor: "loop" for coroutine functions, "thread" for others, "process" or "command" where
            asked for; "http" is Howdah's own.
        command: the program and its arguments, where the declaration says them.
        connection: of a transactional task: "asyncpg", "psycopg", "sqlalchemy" or "django".
        unique, keys: templates of its jobs' unique key, and of their other keys.
        version: which of several it is, or None; its name ends in it then, `base` is the rest.
        arguments: how calls are bound, validated and decoded.
    """

    def __init__(
        self,
        app: Enqueues,
        function: Callable[P, R],
        *,
        name: str,
        defaults: Options,
        retry: Retry,
        arguments: Arguments,
        executor: str,
        connection: str | None,
        command: tuple[str, ...] | None = None,
        unique: str | None = None,
        keys: Keys | None = None,
        options: Options = NO_OPTIONS,
        version: str | None = None,
    ) -> None:
        # First, and without what others have hung on the function: names of ours may be among that.
        functools.update_wrapper(self, function, updated=())
        self.version = version
        self._wanted = name  # as jobs made here name their task: by a range of versions, perhaps
        self.app, self.function, self.name = app, function, name
        self.body: Callable[..., Any] = function
        self.defaults, self.retry, self.arguments = defaults, retry, arguments
        self._options = options
        self.executor, self.connection, self.command = executor, connection, command
        self.unique, self.keys = unique, keys

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, here and now."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    @property
    def base(self) -> str:
        """The name without the version."""
        return self.name if self.version is None else self.name.rpartition("@")[0]

    def job(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """A job with these arguments, validated; nothing has happened yet. Raises BadArguments.

        In a workflow, results of other steps may be arguments: `charge.result("amount")`.
        """
        try:
            return self._job(self.arguments.bind(args, kwargs))
        except BadArguments:
            plain, references = self.arguments.bind_around(args, kwargs, Reference)
            if not references:
                raise
        return msgspec.structs.replace(self._job(plain), references=references)

    def result(self, *path: str | int) -> Any:
        """In a workflow: what the step of this task returns, or a part of it, as an argument."""
        return of_task(self.name, path)

    def template(self) -> Job:
        """A job without arguments, for a step that makes them of a result."""
        return Job(self.name, "{}", self._options)

    def first_argument(self) -> str:
        """The name of its first argument."""
        if not self.arguments.by_place:
            raise BadInput(f"{self.name} takes no argument by its place")
        return self.arguments.by_place[0]

    def job_of(self, args: str) -> Job:
        """The same from JSON: an object with the arguments' names. Raises BadArguments."""
        self.arguments.decode(args)
        return self._job(args)

    def _job(self, args: str) -> Job:
        if self.unique is None and self.keys is None:
            return Job(self._wanted, args, self._options)
        named, said, unique = (
            msgspec.json.decode(args),
            self._options.keys,
            self._options.unique_key,
        )
        keys = None if self.keys is None else self.keys.filled(named)
        if unique is not None and keys is not None:  # who names one does not collapse
            keys = replace(keys, collapse=None)
        elif unique is None and said is not None and said.collapse is not None:  # nor vice versa
            keys = keys and replace(keys, unique_per=None, unique_while=None, unique_for=None)
        elif unique is None:
            unique = filled(self.unique, named)
        options = replace(
            self._options, keys=keys if said is None else said.over(keys), unique_key=unique
        )
        return Job(self._wanted, args, options)

    def options(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        run_at: datetime | None = None,
        delay: Duration | None = None,
        max_attempts: int | None = None,
        timeout: Duration | None = None,
        no_timeout: bool = False,
        delivery: str | None = None,
        id: UUID | None = None,  # noqa: A002 - the name of the contract
        unique_key: str | None = None,
        headers: dict[str, object] | None = None,
        tags: list[str] | tuple[str, ...] | None = None,
        version: str | None = None,
        after: After | None = None,
        **keyed: Unpack[Keyed],
    ) -> Task[P, R]:
        """The same task, whose jobs are made with these options. Raises BadInput.

        `version` is an exact one, a range (">=2,<3", "2.*"), or "*" for any; without it jobs are
        for the version that the task is of.
        `after`: jobs, by id, that have to succeed first; a dict says what is to happen if one does
        not: "fail" (default) fails this job too, "skip" cancels it, "ignore" runs it all the same.
        """
        made = copy(self)
        made._options = make_options(
            self._options,
            queue=queue,
            priority=priority,
            run_at=run_at,
            delay=delay,
            max_attempts=max_attempts,
            timeout=timeout,
            no_timeout=no_timeout,
            delivery=delivery,
            id=id,
            unique_key=unique_key,
            headers=headers,
            tags=tags,
            after=after,
            **keyed,
        )
        if version is not None:
            made._wanted = named(self.base, version)
        return made

    @property
    def job_options(self) -> Options:
        """Those that its jobs are made with."""
        return self._options

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> UUID:
        """Make a job and store it in a transaction of its own; gives its id."""
        return await self.app.enqueue(self.job(*args, **kwargs))

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> UUID:
        """The same where there is no event loop."""
        return self.app.enqueue_sync(self.job(*args, **kwargs))

    async def map(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> int:
        """Make a job of each item and store them, in order and in bounded memory; gives how many.

        An item is a tuple of arguments, a dict of named ones, or else the only argument: one that
        is a tuple or a dict itself goes into a tuple, `(item,)`. Each batch (1 to 10,000) is a
        transaction of its own; after it, `progress` is called with how many are in. Raises BadItem
        for an item that does not fit: it says which, and how many were stored before.
        """
        if isinstance(items, AsyncIterable):
            made: Iterable[Job] | AsyncIterable[Job] = self._made_of_async(items)
        else:
            made = self._made_of(items)
        return await self.app.enqueue_stream(made, batch=batch, progress=progress)

    def map_sync(
        self, items: Iterable[Any], *, batch: int = BATCH, progress: Progress | None = None
    ) -> int:
        """The same where there is no event loop."""
        return self.app.enqueue_stream_sync(self._made_of(items), batch=batch, progress=progress)

    def _made_of(self, items: Iterable[Any]) -> Iterator[Job]:
        self._check_map()
        return (self.item_job(item) for item in items)

    def _made_of_async(self, items: AsyncIterable[Any]) -> AsyncIterator[Job]:
        self._check_map()
        return (self.item_job(item) async for item in items)

    def item_job(self, item: Any) -> Job:
        """The job of an item, as `map` makes it."""
        if isinstance(item, tuple):
            text = self.arguments.bind(item, {})
        elif isinstance(item, dict):
            text = self.arguments.bind((), item)
        else:
            text = self.arguments.bind((item,), {})
        return self._job(text)

    def _check_map(self) -> None:
        for name in ("id", "unique_key"):
            if getattr(self._options, name) is not None:
                raise BadInput(
                    f"all jobs of a map would share one {name}, so there would be one job",
                    hint=f"Give each its own: app.enqueue_stream(task.options({name}=…).job(x) …).",
                )

    def declaration(self) -> dict[str, object]:
        """What the store keeps of it, so that SQL callers get the same defaults."""
        parameters = self.arguments.json_schema()
        d = self.defaults
        timeout_ms = 0 if d.no_timeout else None if d.timeout is None else round(d.timeout * 1000)
        return {
            "name": self.name,
            "queue": d.queue,
            "priority": d.priority,
            "max_attempts": self.retry.max_attempts,
            "timeout_ms": timeout_ms,
            "delivery": d.delivery,
            "first_ms": round(seconds(self.retry.first) * 1000),
            "factor": self.retry.factor,
            "longest_ms": round(seconds(self.retry.longest) * 1000),
            "jitter": self.retry.jitter,
            "parameters": None if parameters is None else msgspec.Raw(parameters.encode()),
            "keys": self._declared_keys(),
        }

    def _declared_keys(self) -> dict[str, object] | None:
        said = {} if self.keys is None else self.keys.fields()
        return (said if self.unique is None else {**said, "unique_key": self.unique}) or None


def declarations(tasks: Mapping[str, Task[..., Any]]) -> str:
    """All declarations as one JSON array."""
    rows = [{**task.declaration(), "name": name} for name, task in tasks.items()]
    return msgspec.json.encode(rows).decode()
