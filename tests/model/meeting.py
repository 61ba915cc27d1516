"""Jobs that meet one of their own key, in each state that it may be in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.model.chaining import Chaining
from tests.model.finishing import finish
from tests.model.keying import KeyedNew, collapsing, conflicts, serial, unique
from tests.model.limiting import Limiting
from tests.model.world import Ending

ways = st.sampled_from(["running", "running", "released", "put off", "finished"])


class Meeting(Limiting, Chaining):
    """Rules of several steps about one key."""

    @rule(new=unique | collapsing, way=ways, again=st.fixed_dictionaries(conflicts))
    def meets_its_like(self, new: KeyedNew, way: str, again: dict[str, Any]) -> None:
        """Another one of the same key is enqueued when the first one runs, or has run."""
        first = replace(new, delay=None, id=None)
        self.enqueue_unique(first, False)
        self._run_all(way)
        self.enqueue_unique(replace(first, **again), False)

    @rule(new=serial, n=st.integers(1, 3), way=ways)
    def takes_turns(self, new: KeyedNew, n: int, way: str) -> None:
        """Some of one serial key; the first one runs, and may come back before the others."""
        for _ in range(n):
            self.enqueue(replace(new, delay=None), False)
        self._run_all(way)
        self.let_in()
        self.claim(100, None, None, None)

    def _run_all(self, way: str) -> None:
        self.claim(100, None, None, None)
        self.all_is_as_the_model_says()
        kinds = {"released": "released", "put off": "retry", "finished": "succeeded"}
        running = [j for j in self.world.in_state("running") if j.lease]
        if way not in kinds or not running:
            return
        ends = [(job.id, job.lease, Ending(kind=kinds[way], error="oh")) for job in running]
        self.both(
            lambda: finish(self.world, ends),
            lambda: {row.id: row.reason for row in self.door.call(
                "finish", ids=[e[0] for e in ends], leases=[e[1] for e in ends],
                outcomes=[kinds[way]] * len(ends), errors=["oh"] * len(ends))},
        )  # fmt: skip
        self.all_is_as_the_model_says()
