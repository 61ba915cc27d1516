"""Makes a task of a function, and refuses what cannot be one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar, Unpack

from msgspec.structs import replace

from howdah.arguments import arguments_of
from howdah.context import Context
from howdah.durations import Duration, seconds
from howdah.errors import BadInput
from howdah.job import NAMES, Options, check_task_name, checked
from howdah.keys import Keyed, make_keys
from howdah.naming import dotted_name
from howdah.retry import Retry
from howdah.task import Enqueues, Task
from howdah.versions import check_version

P = ParamSpec("P")
R = TypeVar("R")
CONNECTIONS = ("asyncpg", "psycopg", "sqlalchemy", "django")


def declare(
    app: Enqueues,
    function: Callable[P, R],
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
) -> Task[P, R]:
    """A task for the function; raises BadInput for what cannot be one."""
    chosen = _name(dotted_name(function) if name is None else name, version)
    _check_kinds(chosen, function, retry)
    is_async = inspect.iscoroutinefunction(function)
    defaults = checked(
        Options(
            queue=queue,
            priority=priority,
            timeout=None if timeout is None else seconds(timeout),
            no_timeout=no_timeout,
            delivery=delivery,
        )
    )
    return Task(
        app,
        function,
        name=chosen,
        defaults=defaults,
        retry=retry or Retry(),
        arguments=arguments_of(function, chosen, Context),
        executor=_executor(chosen, executor, is_async=is_async),
        command=_command(chosen, command, executor, delivery),
        connection=_connection(chosen, connection, delivery, is_async=is_async),
        unique=unique,
        keys=make_keys(keyed),
        version=version,
        # What is declared here goes with each job: the store knows it only once a worker has run.
        options=replace(defaults, max_attempts=None if retry is None else retry.max_attempts),
    )


def _name(bare: str, version: str | None) -> str:
    if version is None:
        return check_task_name(bare)
    if "@" in bare:
        raise BadInput(f"{bare!r} holds an @, which comes before a version", hint=NAMES)
    return check_task_name(f"{bare}@{check_version(version)}")


def _check_kinds(name: str, function: Callable[..., object], retry: object) -> None:
    """Of what would be found out only at the first attempt."""
    if retry is not None and not isinstance(retry, Retry):
        raise BadInput(
            f"{name}: retry={retry!r} is no Retry", hint="Say retry=Retry(max_attempts=5)."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise BadInput(
            f"{name} yields: to call it runs nothing of it",
            hint="Return what is to be the result; enqueue a job for each part of the work.",
        )


def _executor(name: str, executor: str | None, *, is_async: bool) -> str:
    usual = "loop" if is_async else "thread"
    if executor == "command" and not is_async:
        return executor
    if executor not in {None, usual, "process"}:
        kind = "a coroutine function runs on the loop" if is_async else "a plain one in a thread"
        raise BadInput(
            f"{name}: executor {executor!r} does not fit: {kind}",
            hint=f'Leave it out, or say executor="process". It would be {usual!r}.',
        )
    return executor or usual


def _command(
    name: str, command: Sequence[str] | None, executor: str | None, delivery: str | None
) -> tuple[str, ...] | None:
    """The program and its arguments, as they were declared; None where the function gives them."""
    if executor == "command" and delivery == "transactional":
        raise BadInput(f"{name}: a command cannot be transactional", hint="Use at_least_once.")
    if command is None:
        return None
    if executor != "command":
        raise BadInput(f"{name}: a command needs its executor", hint='Say executor="command" too.')
    if isinstance(command, str) or not command or not all(isinstance(c, str) for c in command):
        raise BadInput(
            f"{name}: {command!r} is no list of a program and its arguments",
            hint='Give for example command=["convert", "-", "png:-"].',
        )
    return tuple(command)


def _connection(
    name: str, connection: str | None, delivery: str | None, *, is_async: bool
) -> str | None:
    """Which connection a transactional task gets; None for other tasks."""
    if connection is not None and connection not in CONNECTIONS:
        raise BadInput(
            f"{name}: there is no connection {connection!r}",
            hint=f"Connections are {', '.join(CONNECTIONS)}.",
        )
    if delivery != "transactional":
        if connection is not None:
            raise BadInput(
                f"{name}: only a transactional task is given a connection",
                hint='Say delivery="transactional" too.',
            )
        return None
    chosen = connection or "asyncpg"
    if (chosen == "asyncpg" and not is_async) or (chosen == "django" and is_async):
        needed = "a coroutine function" if chosen == "asyncpg" else "a plain function"
        raise BadInput(
            f"{name}: a connection of {chosen} needs {needed}",
            hint=f'Make it one, or say connection="{"psycopg" if not is_async else "asyncpg"}".',
        )
    return chosen
