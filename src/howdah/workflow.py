"""Named runs of jobs: steps that wait for steps, checked as a whole before anything is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol, Self
from uuid import UUID

import msgspec

from howdah.call import Call, function, scalar
from howdah.enqueuing import fields_of
from howdah.errors import BadInput
from howdah.job import MAX_ARGS, Job
from howdah.references import Reference

POLICIES = ("fail", "skip", "ignore")
After = str | Iterable[str] | Mapping[str, str]


class Mappable(Protocol):
    """What makes jobs of items: a task."""

    name: str

    def item_job(self, item: Any) -> Job:
        """The job of an item."""
        ...

    def template(self) -> Job:
        """A job without arguments."""
        ...

    def first_argument(self) -> str:
        """The name of its first argument."""
        ...


class Steps:
    """Steps, by name. `add` and `map` give the steps themselves, so that calls can be chained."""

    def __init__(self) -> None:
        self._steps: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, str] = {}  # of steps
        self._references: dict[str, dict[str, Reference]] = {}

    def add(self, name: str, job: Job, *, after: After = (), before: After = ()) -> Self:
        """One job, once the steps that it names have succeeded.

        `after` is a name, several, or what is to happen when one does not succeed: `{"charge":
        "ignore"}`; "fail" (default) fails this step too, "skip" cancels it. Results of other steps
        may be arguments of the job; it waits for those too. `before` names steps that are to wait
        for this one. Raises BadInput.
        """
        step = _fields(name, job)
        self._put(step, job.references or {}, after=after, before=before)
        return self

    def map(
        self,
        name: str,
        task: Mappable,
        items: Iterable[Any] | Reference,
        *,
        after: After = (),
        before: After = (),
    ) -> Self:
        """A job for each item (see Task.map), or for each element of another step's result.

        There may be none. A later step gets what came of them in order, by `gather(name)`.
        """
        if isinstance(items, Reference):
            step = _fields(name, task.template())
            self._put(step, {"": items}, after=after, before=before)
            step["each"] = {"as": task.first_argument()}
            return self
        jobs = [task.item_job(item) for item in items]
        step = _fields(name, jobs[0] if jobs else task.template())
        if any(job.options != jobs[0].options for job in jobs):
            raise BadInput(
                f"step {name!r}: the jobs of one step share their options",
                hint="Keys that differ by argument need steps of their own: add each with add.",
            )
        step["each"] = [msgspec.Raw(job.args.encode()) for job in jobs]
        del step["args"]
        self._put(step, {}, after=after, before=before)
        return self

    def _put(
        self,
        step: dict[str, Any],
        references: Mapping[str, Reference],
        *,
        after: After,
        before: After,
    ) -> None:
        name, task = step["name"], step["task"]
        if name in self._steps:
            raise BadInput(f"two steps are named {name!r}", hint="Give one of them another name.")
        step["after"] = _policies(name, after)
        if names := _policies(name, before):
            step["before"] = [*names]
        self._steps[name], self._tasks[name] = step, task
        self._references[name] = dict(references)

    def json(self, known: Iterable[str] | None = ()) -> str:
        """All steps as the store takes them, parents first. Raises BadInput for what cannot be.

        `known` names steps that are stored already; None: any may be.
        """
        for name, step in self._steps.items():
            self._fill(name, step, known)
        graph = {name: [*step["after"]] for name, step in self._steps.items()}
        for name, step in self._steps.items():
            for later in step.get("before", ()):
                if later in graph:
                    graph[later].append(name)
        if known is not None:
            for name, step in self._steps.items():
                self._check(name, [*step["after"], *step.get("before", ())], known)
        try:
            order = [*TopologicalSorter(graph).static_order()]
        except CycleError as error:
            circle = " → ".join(reversed(error.args[1]))
            raise BadInput(
                f"steps wait for each other in a circle: {circle}",
                hint="Nothing was stored. Take one of the arrows out.",
            ) from None
        return msgspec.json.encode([self._steps[n] for n in order if n in self._steps]).decode()

    def _check(self, name: str, others: Iterable[str], known: Iterable[str]) -> None:
        for other in others:
            if other not in self._steps and other not in known:
                raise BadInput(
                    f"step {name!r}: there is no step {other!r}",
                    hint=f"Steps are {', '.join(self._steps)}.",
                )

    def _fill(self, name: str, step: dict[str, Any], known: Iterable[str] | None) -> None:
        """Say in the step of which steps its arguments are made."""
        for argument, reference in self._references[name].items():
            source = self._source(name, reference, known)
            step["after"].setdefault(source, "fail")
            if argument:
                step.setdefault("refs", {})[argument] = reference.fields(source)
            else:
                step["each"] = {**reference.fields(source), "step": source, **step["each"]}

    def _source(self, name: str, reference: Reference, known: Iterable[str] | None) -> str:
        if not reference.by_task:
            return reference.source
        found = [
            step for step, task in self._tasks.items() if task == reference.source and step != name
        ]
        if len(found) == 1:
            return found[0]
        raise BadInput(
            f"step {name!r}: {len(found) or 'no'} steps run {reference.source}",
            hint='Name the step: result("step", …) or gather("step").',
        )


class Workflow(Steps):
    """A named run of jobs, as a value: nothing has happened until it is enqueued.

    `Workflow("order").add("charge", charge.job(7)).add("ship", ship.job(7), after="charge")`, and
    then `await app.enqueue(workflow)`, or `on(connection).enqueue(workflow)` in a transaction of
    yours; both give the id of the run. `priority` holds for all jobs that have none of their own.
    """

    def __init__(self, name: str, *, priority: int | None = None) -> None:
        super().__init__()
        if not isinstance(name, str) or not 1 <= len(name) <= 120 or "\x00" in name:
            raise BadInput(f"{name!r} cannot be the name of a workflow", hint="1 to 120 characters")
        self.name, self.priority = name, priority

    def start(self) -> Call[UUID]:
        """The call that stores all of it; gives the id of the run. Raises BadInput."""
        if not self._steps:
            raise BadInput(f"workflow {self.name!r} has no steps", hint="Add one: .add(name, job)")
        return function(
            "start_workflow",
            "start_workflow",
            scalar,
            name=("text", self.name),
            steps=("jsonb", self.json()),
            priority=("int", self.priority),
        )


class Growth(Steps):
    """`ctx.workflow`: steps that are added to the running workflow if this attempt succeeds.

    They may come after any step of the workflow, and `before` those that wait for this one. A step
    that is there already, by name, is not added again.
    """

    def json(self, known: Iterable[str] | None = None) -> str:
        """As the store takes them."""
        return super().json(known)

    def __bool__(self) -> bool:
        return bool(self._steps)


def _fields(name: str, job: Job) -> dict[str, Any]:
    if not isinstance(name, str) or not 1 <= len(name) <= 120 or "\x00" in name:
        raise BadInput(f"{name!r} cannot be the name of a step", hint="Use 1 to 120 characters.")
    if not isinstance(job, Job):
        raise BadInput(f"step {name!r}: {job!r} is no job", hint="Give task.job(…).")
    given = {key: value for key, value in fields_of(job).items() if value not in (None, (), False)}
    if strange := given.keys() & {"id", "unique_key", "collapse", "after"}:
        raise BadInput(
            f"step {name!r}: a job of a workflow cannot have {min(strange)}",
            hint="Say what it waits for with add(…, after=…).",
        )
    if len(job.args) > MAX_ARGS:
        raise BadInput(f"step {name!r}: its arguments are larger than 1 MiB")
    return {"name": name, **given}


def _policies(name: str, after: After) -> dict[str, str]:
    if isinstance(after, str):
        return {after: "fail"}
    found = dict(after) if isinstance(after, Mapping) else dict.fromkeys(after, "fail")
    for other, policy in found.items():
        if not isinstance(other, str) or policy not in POLICIES:
            raise BadInput(
                f"step {name!r}: {other!r}: {policy!r} is none of {', '.join(POLICIES)}",
                hint="after is a name, a list of names, or a dict of names with one of these.",
            )
    return found
