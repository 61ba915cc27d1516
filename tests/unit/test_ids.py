"""Ids that the client makes."""

from __future__ import annotations

import time
from uuid import RFC_4122

from howdah.ids import new_id, new_ids


def test_an_id_is_a_version_7_uuid_of_this_millisecond() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000

    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ids_of_one_call_are_all_different() -> None:
    made = new_ids(10_000)

    assert len(set(made)) == 10_000
    assert all(each.version == 7 for each in made)


def test_ids_of_a_later_moment_are_greater() -> None:
    first = new_id()
    while time.time_ns() // 1_000_000 <= first.int >> 80:
        pass
    second = new_id()

    assert first < second
    assert str(first) < str(second)


def test_the_random_bits_of_ids_are_used_in_full() -> None:
    ids = [each.int for each in new_ids(4_000)]
    both = set(range(62)) | set(range(64, 76))

    constant = {bit for bit in both if len({(value >> bit) & 1 for value in ids}) == 1}

    assert constant == set()


def test_ids_of_one_call_ascend_as_their_jobs_do() -> None:
    made = new_ids(1_000)

    assert made == sorted(made)


def test_no_ids_are_made_when_none_are_asked_for() -> None:
    assert new_ids(0) == []
