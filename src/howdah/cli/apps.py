"""Finds the App of a command: named as package.module:name, or made of a module's functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from howdah.settings import load

if TYPE_CHECKING:
    from howdah.app import App
    from howdah.source import Source


def chosen_source(name: str | None, modules: Sequence[str] = ()) -> Source | None:
    """Where the app is: the one that was named, else, without modules, the configured one.

    Modules alone get an app of their own. None when nothing was named and nothing is configured.
    """
    from howdah.source import Source

    name = name or (None if modules else load().settings.app)
    if name is None and not modules:
        return None
    return Source(app=name, modules=tuple(modules))


def chosen_app(name: str | None, modules: Sequence[str] = ()) -> App | None:
    """The app itself."""
    source = chosen_source(name, modules)
    return None if source is None else source.load()
