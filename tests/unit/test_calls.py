"""A call is a value: its statement, its values, and how its rows are read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from uuid import uuid4

import msgspec
import pytest

from howdah import BadInput, Job, TooLarge, jobs, queues, store, workers
from howdah.call import Call
from howdah.job import make_options
from howdah.keys import Keys
from howdah.outcome import (
    Cancelled,
    Failed,
    Outcome,
    Released,
    Retrying,
    Snoozed,
    Succeeded,
)

SQL = "\n".join(
    file.read_text("utf-8")
    for folder in ("functions", "views", "migrations")
    for file in sorted(files("howdah.sql").joinpath(folder).iterdir(), key=lambda f: f.name)
    if file.name.endswith(".sql")
)
ID, LEASE, NOW = uuid4(), uuid4(), datetime.now(UTC)
ALL = make_options(
    queue="q", priority=0, delay=5, max_attempts=1, timeout=5, delivery="at_most_once", id=ID,
    unique_key="k", headers={"h": 1}, tags=["t"],
)  # fmt: skip

CALLS: dict[str, Call[object]] = {
    "enqueue": jobs.enqueue(Job("t", "{}")),
    "enqueue with all": jobs.enqueue(Job("t", "{}", ALL)),
    "enqueue with no_timeout": jobs.enqueue(Job("t", "{}", make_options(no_timeout=True))),
    "enqueue_many alike with all": jobs.enqueue_many([Job("a", "{}", make_options(ALL))]),
    "enqueue_many mixed": jobs.enqueue_many([Job("a", "{}"), Job("b", "{}")]),
    "enqueue_many alike": jobs.enqueue_many([Job("a", "{}")]),
    "claim": jobs.claim(["mail"], 1),
    "ack": jobs.ack(ID, LEASE, {"a": 1}),
    "nack": jobs.nack(ID, LEASE, "no", retry_in="5s"),
    "finish": jobs.finish([Succeeded(id=ID, lease=LEASE)]),
    "finish one": jobs.finish_one(
        Retrying(id=ID, lease=LEASE, error="no", retry_in=2.0, cursor="{}")
    ),
    "extend": jobs.extend(ID, LEASE, 5),
    "release": jobs.release(ID, LEASE),
    "cancel": jobs.cancel(ID),
    "retry": jobs.retry(ID),
    "run_now": jobs.run_now(ID),
    "delete": jobs.delete(ID),
    "why": jobs.why(ID),
    "backlog": jobs.backlog("mail"),
    "outcome": jobs.outcome(ID),
    "get": jobs.get(ID),
    "attempts": jobs.attempts(ID),
    "list": jobs.list(
        state="ready", queue="q", task="t", tag="x", older_than=1, newer_than=2, before=ID
    ),
    "queues.list": queues.list(),
    "pause": queues.pause("mail"),
    "resume": queues.resume("mail"),
    "put": queues.put("mail", keep_history=False),
    "workers.list": workers.list(),
    "heartbeat": workers.heartbeat(ID, name="w"),
    "leave": workers.leave(ID),
    "drain": workers.drain(ID),
    "kill": workers.kill(ID, version="1", now=True),
    "workers.running": workers.running([ID]),
    "schema_version": store.schema_version(),
    "tasks": store.tasks(),
    "stage": store.stage(),
    "chores": store.chores("stage"),
    "channel": store.channel(),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_placeholders_of_a_call_count_its_values_once_each_and_in_order(name: str) -> None:
    call = CALLS[name]

    numbers = [int(n) for n in re.findall(r"\$(\d+)", call.text)]

    assert numbers == list(range(1, len(call.values) + 1))


@pytest.mark.parametrize("name", CALLS)
def test_a_call_renders_for_each_style_of_placeholder(name: str) -> None:
    call = CALLS[name]

    percent = call.render("jobs2", lambda _: "%s")
    named = call.render("jobs2", lambda n: f":v{n}")

    assert percent.count("%s") == percent.count("%") == len(call.values)
    assert len(re.findall(r"(?<!:):v\d+\b", named)) == len(call.values)
    assert "{" not in percent
    assert "$" not in percent + named


@pytest.mark.parametrize("name", CALLS)
def test_a_call_asks_only_the_contract_never_the_store_behind_it(name: str) -> None:
    text = CALLS[name].render("jobs2")

    asked = re.findall(r"(\w+)\.\w+", text)

    assert set(asked) == {"jobs2"}


def test_two_calls_of_one_verb_share_their_statement() -> None:
    one, other = jobs.cancel(uuid4()), jobs.cancel(uuid4())

    assert one.text == other.text
    assert one.values != other.values


@pytest.mark.parametrize("typename", ["claimed", "control"])
def test_the_columns_of_a_composite_are_the_fields_of_its_value_in_order(typename: str) -> None:
    kind = {"claimed": jobs.Claimed, "control": workers.Control}[typename]
    body = re.search(rf"create type howdah\.{typename} as \((.*?)\n\);", SQL, re.DOTALL)
    assert body is not None

    columns = re.findall(r"^    (\w+)", body[1], re.MULTILINE)
    altered = rf"alter type howdah\.{typename} (add|drop) attribute (\w+)"
    for verb, column in re.findall(altered, SQL):
        (columns.append if verb == "add" else columns.remove)(column)

    assert tuple(columns) == kind.__struct_fields__


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        (jobs.CLAIMED_COLUMNS, jobs.Claimed),
        (jobs.FOUND_COLUMNS, jobs.Found),
        (jobs.ATTEMPT_COLUMNS, jobs.Attempt),
        (queues.COLUMNS, queues.Queue),
        (workers.COLUMNS, workers.Worker),
        (store.TASK_COLUMNS, store.Declared),
    ],
)
def test_the_columns_that_are_asked_for_are_the_fields_they_are_read_into(
    columns: str, kind: type[msgspec.Struct]
) -> None:
    asked = tuple(column.strip().removesuffix("::text") for column in columns.split(","))

    assert asked == kind.__struct_fields__


def test_the_fields_of_a_job_are_the_attributes_of_the_composite_that_takes_it() -> None:
    body = re.search(r"create type howdah\.new_job as \((.*?)\n\);", SQL, re.DOTALL)
    assert body is not None

    columns = set(re.findall(r"^    (\w+)", body[1], re.MULTILINE))

    assert columns == {"task", "args", *make_options().__struct_fields__} - {"keys", "after"}


def test_what_is_said_about_keys_is_what_the_store_takes() -> None:
    taken = re.search(r"k not in\s*\(([^)]*)\)", SQL)
    assert taken is not None

    assert set(re.findall(r"'(\w+)'", taken[1])) == {*Keys.__struct_fields__, "after"}


def test_each_outcome_says_a_kind_that_finish_knows() -> None:
    known = {"succeeded", "retry", "failed", "cancelled", "snoozed", "released"}

    kinds = [kind.kind for kind in (Succeeded, Retrying, Failed, Cancelled, Snoozed, Released)]

    assert set(kinds) == known
    assert len(kinds) == len(known)


def test_the_arrays_of_a_finish_run_in_parallel_and_empty_ones_are_left_out() -> None:
    outcomes: list[Outcome] = [
        Succeeded(id=uuid4(), lease=LEASE, result="1"),
        Retrying(id=uuid4(), lease=LEASE, error="no", reason="error", retry_in=2.0),
    ]

    call = jobs.finish(outcomes, done=[LEASE])

    assert call.values == (
        [outcome.id for outcome in outcomes],
        [LEASE, LEASE],
        ["succeeded", "retry"],
        ["1", None],
        [None, "no"],
        [None, "error"],
        [None, timedelta(seconds=2)],
        [LEASE],
        False,
    )
    assert jobs.finish(outcomes[:1]).values[2:] == (None, ["1"], None, None, None, None, False)


def test_one_end_says_the_same_as_many_without_a_value_that_is_an_array() -> None:
    outcome = Succeeded(id=ID, lease=LEASE, result='{"a": 1}')

    one = jobs.finish_one(outcome)

    assert one.values == (ID, LEASE, '{"a": 1}')
    assert "ids => array[cast($1 as uuid)]" in one.text
    assert "results => array[cast(cast($3 as text) as jsonb)]" in one.text
    assert "[])" not in one.text


@pytest.mark.parametrize("n", [0, -1, 10_001])
def test_a_claim_of_no_or_too_many_jobs_is_refused_before_it_is_sent(n: int) -> None:
    with pytest.raises(BadInput, match="cannot claim"):
        jobs.claim(["mail"], n)


def test_queues_and_tasks_given_as_one_text_are_refused_not_taken_letter_by_letter() -> None:
    with pytest.raises(BadInput, match="mail"):
        jobs.claim("mail")
    with pytest.raises(BadInput, match="send"):
        jobs.claim(None, tasks="send")


def test_ten_thousand_and_one_jobs_are_refused_and_ten_thousand_are_not() -> None:
    job = Job("t", "{}")

    with pytest.raises(TooLarge) as refused:
        jobs.enqueue_many([job] * 10_001)
    call = jobs.enqueue_many([job] * 10_000)

    assert "10001" in refused.value.message
    assert refused.value.hint
    assert len(call.read([(None,)])) == 10_000


def test_jobs_may_come_from_a_generator() -> None:
    call = jobs.enqueue_many(Job("t", "{}") for _ in range(3))

    assert len(call.read([(None,)])) == 3
    with pytest.raises(TooLarge):
        jobs.enqueue_many(Job("t", "{}") for _ in range(10_001))


def test_a_naive_time_to_retry_at_is_refused() -> None:
    with pytest.raises(BadInput, match="time zone"):
        jobs.nack(ID, LEASE, retry_at=datetime(2030, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("limit", [0, -1, 2**40])
def test_a_page_of_no_jobs_or_of_too_many_is_refused(limit: int) -> None:
    with pytest.raises(BadInput):
        jobs.list(limit=limit)


def test_a_state_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(BadInput) as refused:
        jobs.list(state="done")

    assert "succeeded" in str(refused.value)


def test_an_error_text_is_made_storable_whatever_it_holds() -> None:
    text = jobs.storable("a\x00b\ud800c" + "é" * 100_000 + "the end")

    assert "\x00" not in text
    text.encode()
    assert text.startswith("a\ufffdb")
    assert text.endswith("the end")
    assert "left out" in text
    assert len(text) < 70_000


@pytest.mark.parametrize("wrong", [None, "mail.send", [Job("t", "{}")], print], ids=repr)
def test_what_is_no_job_is_refused_with_how_to_make_one(wrong: object) -> None:
    for make in (lambda: jobs.enqueue(wrong), lambda: jobs.enqueue_many([wrong])):  # type: ignore[arg-type,list-item]
        with pytest.raises(BadInput, match="is no job") as refused:
            make()
        assert "task.job(…)" in (refused.value.hint or "")


@pytest.mark.parametrize("wrong", [Job("t", "{}"), "mail.send", None])
def test_what_is_no_list_of_jobs_is_refused_with_what_takes_more(wrong: object) -> None:
    with pytest.raises(BadInput, match="is no list of jobs") as refused:
        jobs.enqueue_many(wrong)  # type: ignore[arg-type]

    assert "enqueue_stream" in (refused.value.hint or "")
