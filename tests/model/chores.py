"""What the store does by itself, as the model has it: the pulse, staging, expiry, rescue."""

from __future__ import annotations

from itertools import groupby

from tests.model.world import Ending, Worker, World, seconds


def beat(world: World) -> None:
    """The pulse; a gap of more than three seconds is noted."""
    if not world.now - seconds(0.8) <= world.beat_at <= world.now:
        if world.beat_at < world.now - seconds(3):
            world.gap_began_at, world.gap_ended_at = world.beat_at, world.now
        world.beat_at = world.now


def stage(world: World) -> int:
    """Scheduled jobs whose time has come are ready, in the order of their times."""
    due = [job for job in world.in_state("scheduled") if job.due <= world.now]
    for _, together in groupby(sorted(due, key=lambda j: j.due), key=lambda j: j.due):
        ids = [job.id for job in together]
        for job_id in world.order_of(ids) if len(ids) > 1 else ids:
            world.make_ready(world.jobs[job_id])
    return len(due)


def expire(world: World) -> int:
    """Leases without a worker that ran out are failed attempts."""
    ended = [job for job in world.in_state("running") if job.ran_out(world.now)]
    words = Ending(kind="retry", reason="expired", error="expired: the lease ran out")
    world.end_attempts((job, words) for job in sorted(ended, key=lambda j: j.leased_until))
    return len(ended)


def rescue(world: World) -> int:
    """The jobs of lost workers come back, to the front, and count a crash."""
    rescued = 0
    for worker in [w for w in world.workers.values() if is_lost(world, w)]:
        rescued += end_leases(world, worker, "lost")
        del world.workers[worker.id]
    return rescued


def end_leases(world: World, worker: Worker, kind: str) -> int:
    """Ends all attempts of a worker in one way."""
    held = [job for job in world.in_state("running") if job.worker == worker.id]
    world.end_attempts((job, Ending(kind=kind)) for job in held)
    return len(held)


def is_lost(world: World, worker: Worker) -> bool:
    """Silent for lost_after, or for 5 s after its session ended.

    A gap in the pulse is no silence of one whose session outlived it.
    """
    beat_at, patience = worker.beat_at, worker.lost_after
    if worker.session == "held" and beat_at > world.gap_began_at - seconds(worker.lost_after / 3):
        beat_at = max(beat_at, world.gap_ended_at)
    if worker.session == "gone":
        patience = min(5.0, patience)
    return beat_at + seconds(patience) < world.now


def overdue(world: World) -> None:
    """What a heartbeat does when nobody does the chores."""
    due = world.next_due()
    if due is not None and due < world.now - seconds(5):
        stage(world)
        rescue(world)
        expire(world)
