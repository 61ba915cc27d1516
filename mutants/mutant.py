"""A broken build, as a value: what is changed where, and which check has to see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SQL, FUNCTIONS = "src/howdah/sql", "src/howdah/sql/functions"
MODEL = "tests/model"


class Stale(Exception):
    """The code has moved on: what is to be changed is not there, or there more than once."""


@dataclass(frozen=True, slots=True)
class Edit:
    """In this file the old text, which stands there once, becomes the new one."""

    path: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Change the file below `root`; raises Stale."""
        file = root / self.path
        text = file.read_text() if file.exists() else ""
        if (found := text.count(self.old)) != 1:
            raise Stale(f"{self.path}: {found} times instead of once: {self.old.strip()[:70]!r}")
        file.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted defect. `number` is that of guarantees.md §3.8, with a letter where it has several
    forms; `check` is the test, or tests, that see it soonest."""

    number: str
    name: str
    edits: tuple[Edit, ...]
    check: str

    @property
    def is_sql(self) -> bool:
        """Whether it breaks the store, and so something that the model can see."""
        return all(edit.path.startswith(SQL) for edit in self.edits)


def mutant(number: str, name: str, check: str, *edits: tuple[str, str, str]) -> Mutant:
    """A defect of some edits, each a path, an old and a new text."""
    return Mutant(number, name, tuple(Edit(*edit) for edit in edits), check)
