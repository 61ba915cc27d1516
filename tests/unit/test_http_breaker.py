"""When an origin that does not answer is left alone, and when it is called again."""

from __future__ import annotations

from howdah.http.breaker import AGAIN, FIRST, LONGEST, Breaker

A, B = "https://a.test", "https://b.test"


def silent(most=3):
    breaker = Breaker(most)
    for _ in range(most):
        assert breaker.wait(A, 0.0) is None
        breaker.failed(A, 0.0)
    return breaker


def test_who_does_not_answer_many_times_in_a_row_is_left_alone():
    breaker = silent()

    assert breaker.wait(A, 1.0) == FIRST - 1.0
    assert breaker.wait(B, 1.0) is None


def test_any_answer_begins_the_count_anew():
    breaker = Breaker(2)
    for _ in range(10):
        breaker.failed(A, 0.0)
        breaker.answered(A)

    assert breaker.wait(A, 0.0) is None


def test_one_call_tries_whether_it_answers_again_and_all_follow_if_it_does():
    breaker = silent()

    assert breaker.wait(A, FIRST) is None
    assert breaker.wait(A, FIRST) == AGAIN
    breaker.answered(A)
    assert [breaker.wait(A, FIRST) for _ in range(3)] == [None] * 3


def test_each_rest_is_longer_up_to_a_minute():
    breaker, now, rests = silent(), 0.0, []
    for _ in range(6):
        rests.append(breaker.wait(A, now))
        now += rests[-1]
        assert breaker.wait(A, now) is None
        breaker.failed(A, now)

    assert rests == [5.0, 10.0, 20.0, 40.0, LONGEST, LONGEST]


def test_a_trial_of_which_nothing_is_heard_does_not_keep_others_waiting_for_ever():
    breaker = silent()
    breaker.wait(A, FIRST)

    assert breaker.wait(A, FIRST + LONGEST) is None


def test_a_trial_that_was_given_up_leaves_the_next_call_to_try():
    breaker = silent()
    breaker.wait(A, FIRST)

    breaker.ended(A, FIRST)

    assert breaker.wait(A, FIRST + 1.0) is None
    assert breaker.wait(A, FIRST + 1.0) == AGAIN


def test_a_call_from_before_that_is_given_up_leaves_the_trial_to_the_one_that_has_it():
    breaker = silent()
    breaker.wait(A, FIRST)

    breaker.ended(A, 0.0)

    assert breaker.wait(A, FIRST) == AGAIN


def test_a_trial_that_failed_and_is_over_rests_on():
    breaker = silent()
    breaker.wait(A, FIRST)

    breaker.failed(A, FIRST + 1.0)
    breaker.ended(A, FIRST)

    assert breaker.wait(A, FIRST + 1.0) == 2 * FIRST


def test_those_that_were_under_way_do_not_prolong_the_rest():
    breaker = silent()
    for _ in range(100):
        breaker.failed(A, 1.0)

    assert breaker.wait(A, 1.0) == FIRST - 1.0


def test_switched_off_it_remembers_nothing():
    breaker = Breaker(None)
    for _ in range(1000):
        breaker.failed(A, 0.0)

    assert breaker.wait(A, 0.0) is None
