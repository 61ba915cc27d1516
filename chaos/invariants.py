"""What must hold of every run, each as a function that yields what breaks it."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator

from chaos.history import Asked, Change, History, Job

SUCCEEDED, FAILED, CANCELLED = "S", "F", "C"
OURS = {
    "co", "thread", "process", "tx", "tx_thread", "once", "once_thread", "once_process", "sql",
    "die", "hog", "limited",
}  # fmt: skip
ONCE = {"once", "once_thread", "once_process"}
TRANSACTIONAL = {"tx", "tx_thread"}
AT_ONCE = {"limited": 1}  # of a task so many run at once, in the whole fleet
IN_PROCESSES = {"process", "once_process"}
OF_FAULTS = range(8_000_000_000, 9_000_000_000)  # keys of what faults enqueue
OVERLAP = 0.1  # seconds for which two runs of one job may overlap in processes, after a freeze
CLOCKS = 50_000  # µs by which a producer's clock and the database's may differ
MAX_CRASHES = 3
CHARGED = {"error", "timeout", "expired", "bad result", "bad arguments"}
UNCHARGED = {
    "released", "snoozed", "lost", "crashed", "connection lost", "unknown task", "no connection",
    "no process",
}  # fmt: skip
CRASHES = {"lost", "crashed", "connection lost"}
LEGAL = {
    (None, "r"), (None, "s"), ("s", "r"), ("s", None), ("r", "x"), ("r", None), ("x", "r"),
    ("x", "s"), ("x", None), (None, "b"), ("b", "r"), ("b", "s"), ("s", "b"), ("x", "b"),
    ("b", None), (None, "w"), ("w", "r"), ("w", "s"), ("w", "b"), ("w", None),
}  # fmt: skip


def lost(history: History) -> Iterator[str]:
    """I1: what was acknowledged is there, and what succeeded ran."""
    by_key = history.by_key()
    for key, asked in history.asked.items():
        if asked.status != "ok":
            continue
        if asked.unique is not None:
            if asked.id not in history.jobs:
                yield f"key {key}: the job {asked.id} that its unique key led to is not there"
        elif key not in by_key:
            yield f"key {key} was acknowledged and is not there"
        elif asked.id is not None and by_key[key][0].id != asked.id:
            yield f"key {key} was acknowledged as {asked.id} and is there as {by_key[key][0].id}"
    with_effect = {effect.key for effect in history.effects}
    for job in history.jobs.values():
        if job.state != SUCCEEDED or job.key is None or job.task not in OURS:
            continue
        if (job.key, job.lease or "") not in history.ends:
            yield f"key {job.key} succeeded, but no run of it under that lease came to its end"
        if history.task_of(job) in TRANSACTIONAL and job.key not in with_effect:
            yield f"key {job.key} succeeded without its effect"


def unexpected(history: History) -> Iterator[str]:
    """I2: nothing came from nowhere, nor from an enqueue that failed; and nothing came twice."""
    for job in history.again:
        yield f"job {job.id} is there once more, and {job.state}"
    unfit = {row.id for row in history.attempts if row.outcome == "bad arguments"}
    for job in history.jobs.values():
        if job.task in OURS and job.key is None and (job.state != FAILED or job.id not in unfit):
            yield f"job {job.id} of {job.task} has no key, and is {job.state}"
    for key, jobs in history.by_key().items():
        asked = history.asked.get(key)
        if asked is None:
            if key not in OF_FAULTS:
                yield f"key {key} was never enqueued"
        elif asked.status == "fail":
            yield f"key {key} is there, though its enqueue failed"
        if len(jobs) > 1:
            yield f"key {key} is there {len(jobs)} times"
    known = history.by_key()
    for key in {*history.starts, *(effect.key for effect in history.effects)}:
        if key not in known:
            yield f"key {key} ran and is not in the store"


def effects(history: History) -> Iterator[str]:
    """I3: a transactional job has one effect, of the very attempt that was finished, or none."""
    by_key = history.by_key()
    for key, n in Counter(effect.key for effect in history.effects).items():
        if n > 1:
            yield f"key {key} has {n} effects"
    for effect in history.effects:
        jobs = by_key.get(effect.key)
        if not jobs:
            yield f"key {effect.key} has an effect and is not in the store"
        elif jobs[0].state != SUCCEEDED:
            yield f"key {effect.key} has an effect, and is {jobs[0].state}"
        elif jobs[0].lease != effect.token:
            yield f"key {effect.key} has the effect of a run whose finish did not count"


def stale_acks(history: History) -> Iterator[str]:
    """I5: a job was finished by the run that had its last lease, and by no other.

    Nor was a run that came to its end well taken for one that failed; but a commit may fail.
    """
    by_key = history.by_key()
    for row in history.attempts:
        job = history.jobs.get(row.id)
        if job is None or job.key is None or job.task not in OURS:
            continue
        if job.state == SUCCEEDED and job.lease == row.lease:
            yield f"key {job.key} succeeded under {row.lease}, of which is said: {row.outcome}"
        run = job.key, row.lease or ""
        ended_well = run in history.ends and run not in history.words
        if row.outcome == "error" and ended_well and history.task_of(job) not in TRANSACTIONAL:
            yield f"key {job.key} ended well under {row.lease}, and is said to have failed"
    for job in history.jobs.values():
        if job.state == SUCCEEDED and job.task in OURS and job.fence != job.lease:
            yield f"key {job.key} was finished under {job.lease} with the result of {job.fence}"
    for key, token in history.acked:
        jobs = by_key.get(key)
        if not jobs or jobs[0].lease != token or jobs[0].state != SUCCEEDED:
            yield f"key {key} was acked under {token}, which is not its last lease"
    for key, n in Counter(key for key, _ in history.acked).items():
        if n > 1:
            yield f"key {key} was acked {n} times"


def overlaps(history: History) -> Iterator[str]:
    """I6: two runs of a job in processes do not overlap, but for a moment after a freeze."""
    by_key = history.by_key()
    for key, seconds in _overlaps(history):
        jobs = by_key.get(key)
        if jobs and history.task_of(jobs[0]) in IN_PROCESSES and seconds > OVERLAP:
            yield f"key {key}: two of its runs, in processes, overlap by {seconds:.2f} s"


def longest_overlaps(history: History, by_key: dict[int, list[Job]]) -> dict[str, float]:
    """The longest for each task."""
    found: dict[str, float] = {}
    for key, seconds in _overlaps(history):
        task = by_key[key][0].task if key in by_key else "?"
        found[task] = max(found.get(task, 0.0), round(seconds, 3))
    return found


def _overlaps(history: History) -> Iterator[tuple[int, float]]:
    for key, starts in history.starts.items():
        if len(starts) < 2:
            continue
        runs = sorted((start.t, history.ends.get((key, start.token), start.t)) for start in starts)
        until = runs[0][1]
        for began, ended in runs[1:]:
            if began < until:
                yield key, (min(until, max(ended, began)) - began) / 1e9
            until = max(until, ended)


def at_most_once(history: History) -> Iterator[str]:
    """I7: what may never start twice did not."""
    for key, jobs in history.by_key().items():
        if history.task_of(jobs[0]) in ONCE and len(history.starts.get(key, ())) > 1:
            yield f"key {key} started {len(history.starts[key])} times"


def unique(history: History) -> Iterator[str]:
    """I9: two jobs of one unique key are never there at once; whoever was told of one, it was."""
    lives: dict[str, list[tuple[int, float, str]]] = defaultdict(list)
    spans: dict[str, tuple[int, float]] = {}
    for life in history.lives():
        asked = history.asked.get(life[0].key or 0)
        if asked is not None and asked.unique != life[0].unique:
            yield f"job {life[0].id} has the unique key {life[0].unique}, not {asked.unique}"
        if life[0].unique is not None:
            until = life[-1].at if life[-1].now is None else float("inf")
            lives[life[0].unique].append((life[0].at, until, life[0].id))
            spans[life[0].id] = (life[0].at, until)
    for key, found in lives.items():
        found.sort()
        for one, other in itertools.pairwise(found):
            if other[0] < one[1]:
                yield f"unique key {key}: {one[2]} and {other[2]} were there at once"
    for asked in history.asked.values():
        if asked.status != "ok" or asked.unique is None or asked.id not in history.jobs:
            continue
        if history.jobs[asked.id].unique != asked.unique:
            yield f"unique key {asked.unique} led to {asked.id}, which has another"
        elif asked.id in spans and asked.returned is not None:
            came, went = spans[asked.id]
            if (
                came > history.wall(asked.returned) + CLOCKS
                or went < history.wall(asked.invoked) - CLOCKS
            ):
                yield f"unique key {asked.unique}: {asked.id} was not there when it was answered"


def in_turn(history: History) -> Iterator[str]:
    """I8: jobs of one serial key run one at a time, and in the order in which they came.

    Of two, the one that was acknowledged before the other was asked for has ended before it starts:
    by its own word, under the lease that counted.
    """
    came: dict[str, list[tuple[int, Asked]]] = defaultdict(list)
    runs: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for life in history.lives():
        serial, key = life[0].serial, life[0].key
        meant = history.asked.get(key or 0)
        if meant is not None and meant.task is not None and meant.serial != serial:
            yield f"key {key} has the serial key {serial}, not {meant.serial}"
        if serial is None:
            continue
        runs[serial] += _claims(life)
        if key is not None and key in history.asked and history.asked[key].status == "ok":
            came[serial].append((key, history.asked[key]))
    for serial, spans in runs.items():
        for one, other in itertools.pairwise(sorted(spans)):
            if other[0] < one[1]:
                yield f"serial key {serial}: {one[2]} and {other[2]} ran at once"
    by_key = history.by_key()
    for serial, asked in came.items():
        yield from _out_of_order(history, by_key, serial, asked)


def limited(history: History) -> Iterator[str]:
    """I18: of a task with a limit never more run at once, by the store, than that."""
    moves: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for life in history.lives():
        job = history.jobs.get(life[0].id)
        if job is not None and job.task in AT_ONCE:
            moves[job.task] += [
                move for came, went, _ in _claims(life) for move in ((came, 1), (went, -1))
            ]
    for task, found in moves.items():
        most = max(itertools.accumulate(n for _, n in sorted(found)), default=0)
        if most > AT_ONCE[task]:
            yield f"{most} jobs of {task} ran at once, and {AT_ONCE[task]} may"


def _claims(life: list[Change]) -> Iterator[tuple[int, int, str]]:
    """From when to when it was running, by the store."""
    began = None
    for change in life:
        if change.now == "x":
            began = change.at
        elif change.was == "x" and began is not None:
            yield began, change.at, change.id
            began = None


def _out_of_order(
    history: History, by_key: dict[int, list[Job]], serial: str, asked: list[tuple[int, Asked]]
) -> Iterator[str]:
    before = sorted((one.returned or 0, key) for key, one in asked)
    latest, place = (0, 0), 0
    for key, one in sorted(asked, key=lambda each: each[1].invoked):
        while place < len(before) and before[place][0] < one.invoked:
            earlier = before[place][1]
            for job in by_key.get(earlier, ())[:1]:
                latest = max(latest, (history.ends.get((earlier, job.lease or ""), 0), earlier))
            place += 1
        began = min((start.t for start in history.starts.get(key, ())), default=None)
        if began is not None and began < latest[0]:
            early = (latest[0] - began) / 1e6
            yield f"serial key {serial}: {key} began {early:.1f} ms before {latest[1]} had ended"


def attempts(history: History) -> Iterator[str]:
    """I10: no more runs than are allowed, none without a reason, each charged as it should be."""
    why = {(row.id, row.lease): row.outcome for row in history.attempts}
    charged: Counter[str] = Counter()
    uncharged: Counter[str] = Counter()
    for row in history.attempts:
        if row.outcome not in CHARGED | UNCHARGED:
            yield f"an attempt of job {row.id} was {row.outcome}, whatever that is"
        (charged if row.outcome in CHARGED else uncharged)[row.id] += 1
    for job in history.jobs.values():
        if job.task not in OURS or job.key is None:
            continue
        if job.attempt > job.max_attempts or job.crashes > MAX_CRASHES:
            yield f"key {job.key}: {job.attempt} attempts, {job.crashes} crashes"
        if job.key not in OF_FAULTS:  # theirs are to fail
            yield from _in_vain(history, job, why.get((job.id, job.lease)))
        tokens = [start.token for start in history.starts.get(job.key, ())]
        if charged[job.id] > job.max_attempts - (job.state == SUCCEEDED):
            yield f"key {job.key}, {job.state}, was charged with {charged[job.id]} attempts"
        if len(tokens) > job.max_attempts + uncharged[job.id]:
            yield f"key {job.key} was started {len(tokens)} times"
        for token, n in Counter(tokens).items():
            if n > 1:
                yield f"key {job.key} was started {n} times under one lease"
            if token != job.lease and (job.id, token) not in why:
                yield f"key {job.key} ran under {token}, and nothing says why that did not count"
    yield from _charges(history, why)


def _in_vain(history: History, job: Job, outcome: str | None) -> Iterator[str]:
    """A job that did not succeed, and had no reason for it."""
    if job.state == CANCELLED:
        yield f"key {job.key} was cancelled, and nobody asked for that"
    elif job.state == FAILED and outcome is None:
        yield f"key {job.key} failed, and of its last attempt nothing is said"
    elif (
        job.state == FAILED and history.task_of(job) not in ONCE
        and job.attempt < job.max_attempts and job.crashes < MAX_CRASHES
    ):  # fmt: skip
        yield f"key {job.key} failed, with attempts left: {job.error}"


def _charges(history: History, why: dict[tuple[str, str | None], str]) -> Iterator[str]:
    for life in history.lives():
        attempt, crashes = life[0].attempt, life[0].crashes
        for change in life:
            if change.now == "x" and change.attempt != attempt + 1:
                yield f"job {change.id}: a claim made {change.attempt} of attempt {attempt}"
            elif change.was == "x" and change.now is not None:
                outcome = why.get((change.id, change.was_lease))
                if outcome is None:
                    yield f"job {change.id} went back from running, and nothing says why"
                elif change.attempt != attempt - (outcome in UNCHARGED):
                    yield f"job {change.id}: {outcome} made {change.attempt} of attempt {attempt}"
                elif change.crashes != crashes + (outcome in CRASHES):
                    yield f"job {change.id}: {outcome} made {change.crashes} of {crashes} crashes"
            attempt, crashes = change.attempt, change.crashes


def early(history: History) -> Iterator[str]:
    """I11: nothing was made ready, or started, before its time by the database's clock."""
    for life in history.lives():
        asked = history.asked.get(life[0].key or 0)
        if asked is not None and asked.delay is not None:
            due = history.wall(asked.invoked) + asked.delay * 1_000_000 - CLOCKS
            began = next((change.at for change in life if change.now == "x"), due)
            if began < due:
                yield f"key {life[0].key} began {due - began:.0f} µs before its delay was over"
        for change in life:
            if change.now in {"r", "x"} and change.run_at is not None and change.at < change.run_at:
                yield f"job {change.id} became {change.now} {change.run_at - change.at} µs early"


def states(history: History) -> Iterator[str]:
    """I12: each job went from state to state as it may, and every run held a lease of it."""
    for life in history.lives():
        yield from _illegal(life)
        job = history.jobs.get(life[0].id)
        last = life[-1]
        if job is not None and job.state == SUCCEEDED and last.now is None:
            if last.was != "x":
                yield f"job {job.id} succeeded out of {last.was}"
            elif last.was_lease != job.lease:
                yield f"job {job.id} ran under {last.was_lease}, and succeeded under {job.lease}"
        if (
            job is not None and job.state == FAILED and last.now is None and last.was != "x"
            and job.key is not None and job.key not in OF_FAULTS and job.task in OURS
        ):  # fmt: skip
            yield f"key {job.key} failed out of {last.was}"
        if life[0].key is not None:
            claims = {change.now_lease for change in life}
            for start in history.starts.get(life[0].key, ()):
                if start.token not in claims:
                    yield f"key {life[0].key} ran under {start.token}, which nobody gave out"


def _illegal(life: list[Change]) -> Iterator[str]:
    state, lease = None, None
    for change in life:
        if change.was != state or change.was_lease != lease:
            yield f"job {change.id} was {state}, and then {change.was}, with nothing between"
        if (change.was, change.now) not in LEGAL:
            yield f"job {change.id} went from {change.was} to {change.now}"
        if (change.now == "x") != (change.now_lease is not None):
            yield f"job {change.id} is {change.now} with lease {change.now_lease}"
        state, lease = change.now, change.now_lease


def conservation(history: History) -> Iterator[str]:
    """I13: all that ever came is there, in the state it went to; so it was at each look."""
    seen = set()
    for life in history.lives():
        seen.add(life[0].id)
        job = history.jobs.get(life[0].id)
        if job is None:
            yield f"job {life[0].id} came, and is nowhere"
        elif life[-1].now != (None if job.state in "SFC" else job.state):
            yield f"job {job.id} went to {life[-1].now}, and is {job.state}"
    for identity in history.jobs.keys() - seen:
        yield f"job {identity} is there, and never came"
    for look in history.facts.get("looks", ()):
        if look["came"] - look["went"] != look["live"]:
            yield "at one moment {came} had come, {went} gone, {live} were there".format(**look)


def server_log(history: History) -> Iterator[str]:
    """I16: the server wrote of no deadlock, and did not panic."""
    yield from history.facts.get("server_log", ())
