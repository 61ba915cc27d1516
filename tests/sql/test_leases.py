"""Lease tokens: random, one per claim call, and nobody sees one that was not given it."""

from __future__ import annotations

import pytest


def test_every_claim_call_makes_one_fresh_token(door):
    door.enqueue_json(*[{"task": "t"}] * 30)

    calls = [{job.lease for job in door.claim(10)} for _ in range(3)]

    assert [len(leases) for leases in calls] == [1, 1, 1]
    assert len(set.union(*calls)) == 3


def test_a_job_gets_another_token_for_each_attempt(door):
    door.enqueue(max_attempts=9)
    leases = []

    for _ in range(4):
        leases.append((job := door.take()).lease)
        door.nack(job, retry_in="0")

    assert len({*leases}) == 4


def test_tokens_are_random_and_not_made_of_time(door):
    door.enqueue_json(*[{"task": "t"}] * 50)

    leases = [door.take().lease for _ in range(50)]

    assert {lease.version for lease in leases} == {4}
    assert leases != sorted(leases)


def test_no_view_of_the_contract_shows_a_token(door):
    door.enqueue_json(*[{"task": "t"}] * 4)
    held, acked, nacked, failed = door.claim(4)
    door.ack(acked)
    door.nack(nacked)
    door.nack(failed, retry=False)
    views = door.rows("select viewname from pg_views where schemaname = 'howdah'")

    shown = {
        row.viewname: [
            line for [line] in door.rows(f"select to_jsonb(v)::text from howdah.{row.viewname} v")
        ]
        for row in views
    }
    shown["why"] = [door.why(held.id)]

    assert len(views) >= 9
    assert not [name for name, lines in shown.items() if str(held.lease) in "".join(lines)]


def test_no_view_of_the_contract_has_a_column_of_tokens(door):
    columns = door.rows(
        "select table_name, column_name from information_schema.columns"
        " where table_schema = 'howdah' and column_name in ('lease', 'token')"
        " and table_name in (select viewname from pg_views where schemaname = 'howdah')"
    )

    assert columns == []


def leases(door):
    return door.one("select count(*) from _howdah.lease")


@pytest.mark.parametrize("with_worker", [True, False])
@pytest.mark.parametrize("end", ["ack", "nack", "release", "finish"])
def test_a_lease_goes_with_its_last_job(door, with_worker, end):
    worker = door.worker() if with_worker else None
    door.enqueue_json(*[{"task": "t"}] * 3)
    jobs = door.claim(3, worker=worker)

    held = []
    for job in jobs:
        held.append(leases(door))
        door.finish([job]) if end == "finish" else getattr(door, end)(job)

    assert held == [1, 1, 1]
    assert leases(door) == 0


def test_jobs_of_one_lease_that_end_at_once_leave_no_row(door):
    door.enqueue_json(*[{"task": "t"}] * 4)

    door.finish(door.claim(4), outcomes=["succeeded", "failed", "retry", "released"])

    assert leases(door) == 0
