"""Which workers a command is about: by id or its end, name, host, version of howdah, or all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

import click

from howdah.cli.ids import whole_or_end
from howdah.errors import BadInput, Conflict, NotFound
from howdah.workers import Worker

F = TypeVar("F", bound=Callable[..., Any])
LIST = "Run: howdah workers list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was said of the workers that are meant; all of it must hold. Made from the options."""

    worker: UUID | str | None
    name: str | None
    host: str | None
    version: str | None
    everybody: bool

    @classmethod
    def of(cls, *, worker: str | None, everybody: bool, **said: str | None) -> Choice:
        """The choice that options and argument make; BadInput where they contradict each other."""
        choice = cls(
            worker=None if worker is None else whole_or_end(worker), everybody=everybody, **said
        )
        if everybody and choice.narrows:
            raise BadInput("all workers, or some?", hint="Leave out --all, or everything else.")
        return choice

    @property
    def narrows(self) -> bool:
        """Whether it means some workers only."""
        return (self.worker, self.name, self.host, self.version) != (None, None, None, None)

    @property
    def patterns(self) -> dict[str, Any]:
        """What the store is asked for."""
        name = "*" if self.everybody else self.name
        return {"worker": self.worker, "name": name, "host": self.host, "version": self.version}

    def among(self, known: Sequence[Worker]) -> Choice:
        """The same, with a whole id; NotFound or Conflict where no or several ids end like it."""
        if not isinstance(self.worker, str):
            return self
        found = [each.id for each in known if str(each.id).endswith(self.worker)]
        if not found:
            raise NotFound(f"no worker has an id that ends in {self.worker}", hint=LIST)
        if len(found) > 1:
            told = ", ".join(map(str, found))
            raise Conflict(f"several ids end in {self.worker}", hint=f"They are {told}.")
        return replace(self, worker=found[0])

    def of_those(self, known: Sequence[Worker]) -> list[Worker]:
        """The workers that are meant."""
        whole = self.among(known)
        return [
            each
            for each in known
            if whole.worker in {None, each.id}
            and (self.name is None or _matches(each.name, self.name))
            and self.host in {None, each.host}
            and self.version in {None, each.version}
        ]


def choosing(command: F) -> F:
    """Gives a command the argument and the options that a Choice is made of."""
    options = (
        click.argument("worker", metavar="[WORKER]", required=False),
        click.option("--name", help="The workers of this name, or prefix*."),
        click.option("--host", help="The workers of this host."),
        click.option("--version", help="The workers that run this version of howdah."),
        click.option("--all", "everybody", is_flag=True, help="All workers."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def no_such_worker() -> NotFound:
    """What to say where none is meant."""
    return NotFound("there is no such worker", hint=LIST)


def _matches(name: str, pattern: str) -> bool:
    """As the store matches: a trailing star stands for anything, all else for itself."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
