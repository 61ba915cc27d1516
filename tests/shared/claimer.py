"""A claimer with floors, as a worker is one, on a connection of its own."""

from __future__ import annotations

from typing import Any

import msgspec

from howdah.worker.floors import Floors, News, given


class Claimer:
    """Claims what matches, above its floors, and looks again where its floors were lowered."""

    def __init__(self, door: Any, **options: Any) -> None:
        self.door, self.options = door, options
        self.worker = door.worker("claimer")
        self.floors = Floors()
        self.news: News | None = None  # of the last claim

    def claim(self, n: int = 100, *, look: bool = True, **options: Any) -> list[Any]:
        """The jobs it got."""
        *jobs, news = self.door.claim(
            n,
            worker=self.worker,
            floors=msgspec.json.decode(given(self.floors.above, look=look)),
            **{**self.options, **options},
        )
        told = msgspec.convert(news.args, News)
        self.news = told
        if self.floors.learn(told) and not jobs:
            return self.claim(n, look=look, **options)
        return jobs

    def ids(self, n: int = 100, **options: Any) -> list[Any]:
        """Their ids."""
        return [job.id for job in self.claim(n, **options)]

    def rises(self, door: Any) -> bool:
        """Whether its floor comes to stand at the last seq; transactions of any other database that
        end meanwhile lower it for a moment."""
        for _ in range(100):
            door.enqueue()
            self.claim()
            if self.floor == door.one("select last_value from _howdah.seq"):
                return True
        return False

    @property
    def own(self) -> str | None:
        """The transaction id of the last claim."""
        assert self.news is not None
        return self.news.own

    @property
    def floor(self) -> int:
        """Of the default queue and priority."""
        return self.floors.above["default", 0]
