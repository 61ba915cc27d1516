"""The scan floor's arithmetic: what a claimer remembers, when it rises, when it drops."""

from __future__ import annotations

from howdah.worker.floors import MOST, Floors, News, Snapshot, together

Q = ("default", 0)


def news(hi, snapshot, own=None, *, waiting=None, history="1", floors=None):
    """Of a claim in one priority, which left the job with the seq `waiting` there."""
    floors = [(*Q, waiting)] if floors is None else floors
    own = None if own is None else str(own)
    return News(pending=False, hi=hi, snapshot=snapshot, history=history, own=own, floors=floors)


def learned(*many):
    floors = Floors()
    for each in many:
        floors.learn(each)
    return floors


def test_a_claim_that_took_all_there_was_raises_the_floor_to_what_was_given_out():
    assert learned(news(50, "10:10:", 10)).above == {Q: 50}


def test_a_job_that_is_ready_all_the_same_holds_the_floor_below_it():
    assert learned(news(50, "10:10:", 10, waiting=30)).above == {Q: 29}


def test_a_claim_that_changed_nothing_raises_no_floor():
    floors = learned(news(50, "10:10:", 10), news(90, "12:12:"))

    assert floors.above == {Q: 50}


def test_a_floor_does_not_sink_because_a_job_was_locked_for_a_while():
    """What was below it is gone all the same."""
    floors = learned(news(50, "10:10:", 10), news(60, "11:11:", 11, waiting=51))

    assert floors.above == {Q: 50}


def test_a_transaction_in_flight_is_remembered_with_the_claim_before_it():
    floors = learned(news(50, "10:10:", 10), news(80, "11:13:11", 13))

    assert floors.open == {11: 50}
    assert floors.above == {Q: 80}


def test_so_is_one_that_has_its_id_and_is_not_yet_in_the_snapshot():
    """xmax is one past the latest id that has ended, not the next to be given."""
    floors = learned(news(50, "10:10:", 10), news(80, "11:11:", 14))

    assert floors.open == {11: 50, 12: 50, 13: 50}


def test_what_was_in_flight_at_the_first_claim_may_have_any_seq():
    assert learned(news(80, "7:10:7", 10)).open == {7: 0}


def test_it_is_remembered_once_however_long_it_lasts():
    floors = learned(
        news(50, "10:10:", 10),
        news(80, "11:12:11", 12),
        news(90, "11:14:11", 14),
    )

    assert floors.open == {11: 50}
    assert floors.above == {Q: 90}


def test_when_it_has_ended_the_floor_drops_once_and_the_claimer_looks_again():
    floors = learned(news(50, "10:10:", 10), news(80, "11:12:11", 12))

    first = floors.learn(news(85, "13:13:"))
    dropped = dict(floors.above)
    second = floors.learn(news(85, "13:13:", 13))

    assert (first, dropped) == (True, {Q: 50})
    assert (second, floors.above) == (False, {Q: 85})
    assert floors.open == {}


def test_a_claim_raises_the_floor_before_what_has_ended_lowers_it():
    """It looked above the old floor, and so not where that transaction's jobs lie."""
    floors = learned(news(50, "10:10:", 10), news(80, "11:12:11", 12))

    assert floors.learn(news(99, "14:14:", 14))
    assert floors.above == {Q: 50}


def test_of_several_that_ended_the_earliest_counts():
    floors = learned(
        news(50, "10:10:", 10),
        news(60, "11:12:11", 12),
        news(70, "11:14:11,13", 14),
    )

    floors.learn(news(80, "15:15:"))

    assert floors.above == {Q: 50}


def test_between_two_claims_that_found_nothing_the_one_that_did_counts():
    floors = learned(
        news(50, "10:10:", 10),
        news(60, "11:11:"),
        news(70, "11:13:11", 13),
    )

    assert floors.open == {11: 50}


def test_on_another_history_nothing_holds():
    for change in ({"history": "2"}, {"hi": 49}):
        floors = learned(news(50, "5:10:5", 10))
        told = news(**{"hi": 60, "snapshot": "11:11:", "own": 11, **change})

        assert floors.learn(told)
        assert (floors.above, floors.open) == ({}, {})


def test_the_least_recently_used_floors_go_first():
    many = [("q", priority, None) for priority in range(MOST + 1)]
    floors = learned(
        news(5, "10:10:", 10, floors=many[:MOST]),
        news(5, "11:11:", 11, floors=[many[0], many[MOST]]),
    )

    assert len(floors.above) == MOST
    assert ("q", 0) in floors.above
    assert ("q", 1) not in floors.above


def test_a_transaction_that_can_hide_nothing_is_nobody_s_concern():
    floors = learned(news(50, "5:10:5", 10, floors=[]))
    before = floors.hiding()
    floors.learn(news(60, "5:11:5", 11))

    assert (before, floors.hiding()) == ([], [5])


def test_together_only_what_nobody_needs_is_left_out():
    one = learned(news(9, "5:9:5", 9, floors=[("a", 0, None), ("b", 0, None)]))
    other = learned(news(7, "6:9:6", 9, floors=[("a", 0, None)]))

    assert together([one, other]) == '{"floors":[["a",0,7]],"open":["5","6"]}'
    assert together([]) == '{"floors":[],"open":[]}'


def test_a_snapshot_knows_what_has_ended():
    snapshot = Snapshot("10:15:10,12")

    assert [xid for xid in range(8, 17) if snapshot.has_ended(xid)] == [8, 9, 11, 13, 14]
