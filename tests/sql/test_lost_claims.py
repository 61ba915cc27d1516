"""A failover that lost a claim: both sides hold the same attempt of the same job."""

from __future__ import annotations


def test_the_finish_of_a_claim_that_a_failover_lost_is_refused(door, refused):
    door.enqueue()
    before = door.rows("select * from _howdah.job")
    zombie = door.take()
    promote_without_the_claim(door, before)

    again = door.take()
    with refused("JQ002"):
        door.ack(zombie)
    with refused("JQ002"):
        door.nack(zombie)
    with refused("JQ002"):
        door.extend(zombie, "1 min")

    assert (again.id, again.attempt) == (zombie.id, zombie.attempt)
    assert door.state(again.id) == "running"
    door.ack(again)


def promote_without_the_claim(door, before):
    """The store as it was when the standby last heard of it."""
    [job] = before
    door.rows("delete from _howdah.lease")
    door.rows(
        "update _howdah.job set state = %s, lease = null, leased_until = null, attempt = %s,"
        " seq = %s",
        job.state,
        job.attempt,
        job.seq,
    )
