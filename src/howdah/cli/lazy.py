"""A group of commands that imports each only when it is used: `howdah --help` loads none."""

from __future__ import annotations

import difflib
import keyword
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click


class ReaderGoneError(Exception):
    """Whoever read our output has seen enough; of a BrokenPipeError click makes a failure."""


class LazyGroup(click.Group):
    """Finds the command `run-now` as `command` in the module `run_now` of its package.

    One that is a key word of Python has an underscore behind: `import_`.

    `commands` maps names to the one-line helps that the group's own help shows.
    """

    def __init__(
        self, name: str, *, package: str, commands: Mapping[str, str], **options: Any
    ) -> None:
        super().__init__(name, **options)
        self._package, self._helps = package, commands

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """As click does it; a help is printed on the way."""
        with _noticing_readers():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """As click does it; ReaderGoneError where nobody reads any more."""
        with _noticing_readers():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which they were given."""
        return [*self._helps]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in self._helps:
            return None
        name = cmd_name.replace("-", "_") + "_" * keyword.iskeyword(cmd_name)
        module = import_module(f"{self._package}.{name}")
        found: click.Command = module.command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with a guess at what was meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self._helps, n=1)
            if near and "Did you mean" not in error.message:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The one-line helps, without importing what they are about."""
        with formatter.section("Commands"):
            formatter.write_dl([*self._helps.items()])


@contextmanager
def _noticing_readers() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGoneError from error
