"""What must come to pass once all is healed, and whether enough happened to tell anything."""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from chaos.history import Asked, History
from chaos.invariants import AT_ONCE, ONCE, TRANSACTIONAL

PROMPT = 1.5  # seconds from the enqueue of a lone job to its start, once healed
USUALLY = 0.15  # for most of them: less than between two looks of any worker
PROBES = 20
LATER = 600.0  # seconds of delay from which on a job may be waiting still
LOAD = 0.95  # share of the planned load that must have been asked for
TAKEN = 0.95  # share of it that must have been acknowledged
FACTS = (
    "looks",
    "server_log",
    "stopped",
    "drained in",
    "producers",
)  # without them some checks are blind
MOST = 0.8  # share of the faults begun that must have had an effect, of flows that must have ended
SENT_TO_KILL = -9
KILLERS = {"kill-worker", "kill-parent"}
YOUNG = 60.0  # seconds in which a worker may end because its first process did
PROBE_KEYS = 9_000_000_000  # from here on the keys of those that are enqueued once all has drained


POPULATION: dict[str, Callable[[Asked], bool]] = {
    "transactional": lambda one: one.task in TRANSACTIONAL,
    "at-most-once": lambda one: one.task in ONCE,
    "process": lambda one: one.task == "process",
    "limited": lambda one: one.task in AT_ONCE,
    "SQL": lambda one: one.task == "sql",
    "unique": lambda one: one.unique is not None,
    "serial": lambda one: one.serial is not None,
    "delayed": lambda one: one.delay is not None,
}


def drained(history: History) -> Iterator[str]:
    """L1: every job has ended, or waits for a time that has not come, once it had its time."""
    if "drained in" not in history.facts:
        return
    for row in history.remaining:
        job = history.jobs.get(row.id)
        if history.facts.get("cut") and job is not None and (job.key or 0) >= PROBE_KEYS:
            continue  # it was cut just then
        asked = history.asked.get(job.key or 0) if job is not None else None
        is_later = asked is None or asked.task is None or (asked.delay or 0.0) >= LATER
        if (
            row.state != "s"
            or row.is_due
            or not is_later
            or not row.why.startswith("scheduled for")
        ):
            yield f"job {row.id} is still {row.state}: {row.why or 'and nothing says why'}"


def prompt(history: History) -> Iterator[str]:
    """L2: with all healed, a lone job starts at once: somebody listens, or looks."""
    waits = sorted(history.facts.get("probes", ()))
    if waits and waits[-1] > PROMPT:
        yield f"lone jobs, once all was healed, took up to {waits[-1]:.2f} s to start"
    if waits and waits[len(waits) // 2] > USUALLY:
        yield f"half of the lone jobs, once all was healed, took {waits[len(waits) // 2]:.2f} s"
    if waits and len(waits) != PROBES:
        yield f"of {PROBES} lone jobs {len(waits)} started"


def stayed(history: History) -> Iterator[str]:
    """L3: no worker left that was not killed, and what else faults saw was as it should be.

    Nor is it one that leaves because its first process was killed before it could work: that it
    does not start others for ever is meant.
    """
    began = {line["name"]: line["t"] for line in history.parents if line["what"] == "started"}
    left = [line for line in history.parents if line["what"] == "ended" and not line["expected"]]
    for line in left:
        is_young = line.get("young") and (line["t"] - began.get(line["name"], 0)) / 1e9 < YOUNG
        if line["code"] != SENT_TO_KILL and not is_young:
            yield f"worker {line['name']} left with status {line['code']}"
    killed = sum(line["code"] == SENT_TO_KILL for line in left)
    sent = sum(
        (line.get("observed") or {}).get("killed", 0)
        for line in history.faults if line["name"] in KILLERS
    )  # fmt: skip
    if killed > sent:
        yield f"{killed} workers were killed, and faults killed {sent} processes of theirs"
    for line in history.faults:
        for what, n in (line.get("observed") or {}).items():
            if n and what.endswith(("badly", "not refused")):
                yield f"{line['name']}: {what} ({n})"
    for code in history.facts.get("producers", ()):
        if code:
            yield f"a producer left with status {code}"
    if history.facts.get("stopped") is False:
        yield "at the end a worker did not stop in time, or not with status 0"


def too_little(history: History) -> Iterator[str]:
    """Why nothing can be said, if so."""
    facts, planned = history.facts, history.facts.get("size", {})
    if facts.get("cut"):
        yield f"the run was cut: {facts['cut']}"
    jobs, ok = planned.get("jobs", 0), sum(a.status == "ok" for a in history.asked.values())
    if len(history.asked) < LOAD * jobs or ok < TAKEN * jobs or not history.asked:
        yield f"of {jobs} jobs {len(history.asked)} were enqueued, {ok} acknowledged"
    if not history.starts:
        yield "no job ran"
    yield from _too_few_kinds(history)
    yield from _too_few_faults(history)
    flows = Counter(asked.status for asked in history.flows_asked.values())
    to_the_end = sum(flow.state == "S" for flow in history.flows)
    if flows["ok"] < TAKEN * planned.get("flows", 0):
        yield f"of {planned['flows']} flows {flows['ok']} were acknowledged"
    if to_the_end < MOST * flows["ok"]:
        yield f"of {flows['ok']} flows {to_the_end} came to their last step"
    if not history.ticks:
        yield "no schedule fired"
    if not facts.get("probes"):
        yield "nobody looked whether lone jobs start at once"


def _too_few_kinds(history: History) -> Iterator[str]:
    """What some checks look at, and was not there."""
    for what, is_one in POPULATION.items():
        if not any(is_one(one) for one in history.asked.values() if one.status == "ok"):
            yield f"no {what} job was acknowledged"
    for fact in FACTS:
        if fact not in history.facts:
            yield f"nobody wrote down: {fact}"


def _too_few_faults(history: History) -> Iterator[str]:
    planned = history.facts.get("size", {})
    begun = [line for line in history.faults if not line.get("absent")]
    real = [line for line in begun if any((line.get("observed") or {}).values())]
    if len(real) < planned.get("faults", 0):
        yield f"{len(real)} faults had an effect, not {planned['faults']}"
    if len(real) < MOST * len(begun):
        yield f"only {len(real)} of {len(begun)} faults had an effect"
    classes = {line["name"] for line in real}
    if len(classes) < planned.get("classes", 0):
        yield f"{len(classes)} kinds of fault, not {planned['classes']}"


def injected(history: History) -> dict[str, dict[str, Any]]:
    """For each kind of fault how many had an effect, how many did not, and what was seen."""
    found: dict[str, dict[str, Any]] = {}
    for line in history.faults:
        kind = found.setdefault(
            line["name"], {"real": 0, "vain": 0, "absent": 0, "seen": Counter()}
        )
        observed = line.get("observed") or {}
        if line.get("absent"):
            kind["absent"] += 1
        else:
            kind["real" if any(observed.values()) else "vain"] += 1
        kind["seen"].update(observed)
    return dict(sorted(found.items()))


def recovery(history: History) -> dict[str, dict[str, dict[str, float]]]:
    """For each kind of fault, from its healing: how long until any job starts, and until those
    start again whose runs it cut short."""
    real = sorted(
        (line for line in history.faults if any((line.get("observed") or {}).values())),
        key=lambda line: line["began"],
    )
    moments = sorted(start.t for starts in history.starts.values() for start in starts)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: {"any": [], "affected": []})
    for line in real:
        healed = int(line["healed"] * 1e9)
        place = bisect.bisect_left(moments, healed)
        if place < len(moments):
            found[line["name"]]["any"].append((moments[place] - healed) / 1e9)
    began = [int(line["began"] * 1e9) for line in real]
    for cut, again in _cut_short(history):
        place = bisect.bisect_right(began, again) - 1
        if place >= 0 and began[place] >= cut:
            line = real[place]
            found[line["name"]]["affected"].append(max(0.0, again / 1e9 - line["healed"]))
    return {
        name: {what: spread(seconds) for what, seconds in kind.items() if seconds}
        for name, kind in sorted(found.items())
    }


def _cut_short(history: History) -> Iterator[tuple[int, int]]:
    """When a run began that never came to its end, and when the next of its job did."""
    for key, starts in history.starts.items():
        runs = sorted(starts, key=lambda start: start.t)
        for run, again in pairwise(runs):
            if (key, run.token) not in history.ends:
                yield run.t, again.t


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """How many, and their p50, p99 and max."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)

    return {"n": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": at(1.0)}
