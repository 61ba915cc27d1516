"""PJ-13: over PostgREST, with its request shape and real roles: web publishes, a worker works, a
viewer looks; and nobody does anything else.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

NEW = {
    "task": "mail.send",
    "args": {"to": "ada", "text": 'it\'s "ü"'},
    "queue": "mail",
    "priority": 7,
    "run_at": "2030-01-31T08:00:00+05:30",
    "max_attempts": 2,
    "timeout": "90 s",
    "delivery": "at_most_once",
    "unique_key": "ada",
    "headers": {"trace": "x"},
    "tags": ["a", "b c"],
}


def test_a_job_goes_all_the_way(api: Any) -> None:
    web, worker, viewer = (api.as_(role) for role in ("web", "worker", "viewer"))

    status, job_id = web.post("/rpc/enqueue", task="mail.send", args={"to": "ada"})
    _, [claimed] = worker.post("/rpc/claim", queues=["default"], n=5)
    _, running = viewer.get("/jobs?state=eq.running&select=id,task,attempt")
    acked, _ = worker.post(
        "/rpc/ack", id=job_id, lease=claimed["lease"], result={"sent": True, "n": [1, None]}
    )
    _, found = viewer.get(f"/jobs?id=eq.{job_id}")
    _, [outcome] = web.post("/rpc/outcome", id=job_id)

    assert (status, acked) == (200, 204)
    assert (claimed["id"], claimed["args"]) == (job_id, {"to": "ada"})
    assert running == [{"id": job_id, "task": "mail.send", "attempt": 1}]
    assert found[0]["result"] == {"sent": True, "n": [1, None]}
    assert outcome == {
        "state": "succeeded",
        "result": {"sent": True, "n": [1, None]},
        "error": None,
    }


def test_every_field_of_a_job_can_be_named(api: Any) -> None:
    given = str(uuid4())

    _, job_id = api.as_("web").post("/rpc/enqueue", **NEW, id=given)
    _, [job] = api.as_("viewer").get(f"/jobs?id=eq.{given}")

    assert job_id == given
    assert {key: job[key] for key in NEW if key not in {"run_at", "timeout"}} == {
        key: value for key, value in NEW.items() if key not in {"run_at", "timeout"}
    }
    assert job["timeout"] == "00:01:30"
    assert job["run_at"].startswith("2030-01-31T02:30:00")


def test_an_array_of_objects_is_enqueued_at_once_with_defaults_for_what_is_left_out(
    api: Any,
) -> None:
    status, rows = api.as_("web").post(
        "/rpc/enqueue_many", jobs=[NEW, {"task": "plain"}, {"task": "later", "delay": "1 hour"}]
    )
    _, found = api.as_("viewer").get("/jobs?select=task,state,max_attempts,priority&order=task.asc")

    assert status == 200
    assert [(row["ordinal"], row["created"]) for row in rows] == [(1, True), (2, True), (3, True)]
    assert [(row["task"], row["state"], row["max_attempts"], row["priority"]) for row in found] == [
        ("later", "scheduled", 4, 0),
        ("mail.send", "scheduled", 2, 7),
        ("plain", "ready", 4, 0),
    ]


def test_an_array_with_one_bad_job_enqueues_none_and_says_which(api: Any) -> None:
    status, said = api.as_("web").post(
        "/rpc/enqueue_many", jobs=[{"task": "good"}, {"task": "bad", "max_attempts": 0}]
    )

    assert status == 400
    assert said["code"] == "JQ001"
    assert "job 2 of the batch" in said["message"]
    assert said["hint"].startswith("Nothing was enqueued")
    assert api.as_("viewer").get("/jobs") == (200, [])


def test_an_insert_into_the_view_enqueues(api: Any) -> None:
    inserted = api.as_("web").post("/jobs", task="t", args={"n": 1}, queue="q")
    refused = api.as_("web").post("/jobs", task="t", state="succeeded")

    assert inserted == (201, None)
    assert (refused[0], refused[1]["code"]) == (400, "JQ001")
    assert "only the engine sets state" in refused[1]["message"]
    assert [job["queue"] for job in api.as_("viewer").get("/ready")[1]] == ["q"]


def test_a_nack_comes_back_and_a_wrong_lease_is_refused_with_code_and_hint(api: Any) -> None:
    worker = api.as_("worker")
    _, job_id = api.as_("web").post("/rpc/enqueue", task="t")
    _, [claimed] = worker.post("/rpc/claim", n=1)

    wrong, said = worker.post("/rpc/ack", id=job_id, lease=str(uuid4()))
    _, state = worker.post(
        "/rpc/nack", id=job_id, lease=claimed["lease"], error="no", retry_in="5 min"
    )

    assert (wrong, said["code"]) == (400, "JQ002")
    assert said["hint"]
    assert state == "scheduled"
    assert api.as_("viewer").get(f"/attempts?job_id=eq.{job_id}&select=error")[1] == [
        {"error": "no"}
    ]


def test_a_batch_of_outcomes_is_finished_by_arrays(api: Any) -> None:
    worker = api.as_("worker")
    api.as_("web").post("/rpc/enqueue_many", jobs=[{"task": "a"}, {"task": "b"}])
    _, claimed = worker.post("/rpc/claim", n=2)

    status, refused = worker.post(
        "/rpc/finish",
        ids=[job["id"] for job in claimed],
        leases=[job["lease"] for job in claimed],
        outcomes=["succeeded", "failed"],
        results=[{"x": 1}, None],
        errors=[None, "no"],
    )

    assert (status, refused) == (200, [])
    _, found = api.as_("viewer").get("/jobs?select=state&order=task.asc")
    assert found == [{"state": "succeeded"}, {"state": "failed"}]


def test_a_worker_of_any_language_beats_and_is_told_what_to_do(api: Any) -> None:
    me = str(uuid4())

    _, control = api.as_("worker").post(
        "/rpc/heartbeat", worker=me, name="curl", host="here", version="1", tasks=["t"]
    )

    assert control["action"] == "go"
    assert api.as_("viewer").get("/workers?select=id,name")[1] == [{"id": me, "name": "curl"}]


@pytest.mark.parametrize(
    "path",
    [
        "/jobs?task=eq.c&order=created_at.desc&limit=1&offset=0",
        "/jobs?tags=cs.{x}&priority=gte.3",
        "/jobs?finished_at=is.null&task=eq.c",
        "/ready?task=eq.c",
    ],
)
def test_views_are_filtered_ordered_and_paged(api: Any, path: str) -> None:
    api.as_("web").post(
        "/rpc/enqueue_many",
        jobs=[{"task": "a"}, {"task": "b"}, {"task": "c", "tags": ["x"], "priority": 3}],
    )

    status, found = api.as_("viewer").get(path)

    assert (status, [job["task"] for job in found]) == (200, ["c"])


FORBIDDEN = [
    ("web", "GET", "/jobs", None),
    ("web", "GET", "/queues", None),
    ("web", "POST", "/rpc/claim", {"n": 1}),
    ("web", "POST", "/rpc/list_jobs", {}),
    ("web", "POST", "/rpc/cancel", {"id": str(uuid4())}),
    ("web", "DELETE", "/jobs?task=eq.t", None),
    ("web", "PATCH", "/jobs?task=eq.t", {"state": "ready"}),
    ("worker", "POST", "/rpc/enqueue", {"task": "t"}),
    ("worker", "GET", "/jobs", None),
    ("viewer", "POST", "/rpc/enqueue", {"task": "t"}),
    ("viewer", "POST", "/rpc/claim", {"n": 1}),
    ("viewer", "POST", "/jobs", {"task": "t"}),
    ("viewer", "POST", "/rpc/retry", {"id": str(uuid4())}),
    ("viewer", "DELETE", "/jobs?task=eq.t", None),
]


def test_each_role_does_its_own_and_no_more(api: Any) -> None:
    api.as_("web").post("/rpc/enqueue", task="t")

    said = [api.as_(role).ask(method, path, body) for role, method, path, body in FORBIDDEN]

    # 55000: a view that nobody can write to, whatever his grants
    assert {answer["code"] for _, answer in said} == {"42501", "55000"}
    assert min(status for status, _ in said) >= 400
    assert [job["state"] for job in api.as_("viewer").get("/jobs")[1]] == ["ready"]


def test_an_unknown_argument_or_function_is_not_found(api: Any) -> None:
    assert api.as_("web").post("/rpc/enqueue", task="t", colour="red")[1]["code"] == "PGRST202"
    assert api.as_("web").post("/rpc/publish", task="t")[0] == 404


@pytest.mark.parametrize(
    ("pipelines", "run"),
    [
        ("images:1.0", ["images/scale"]),
        (["images", "report"], ["images/scale", "report/print"]),
        ([{"name": "report", "version": "2"}, "images"], ["images/scale", "report/print"]),
        ({"name": "report", "args": {"day": 6}}, ["report/print"]),
    ],
    ids=["a text", "an array", "an array of objects", "an object"],
)
def test_a_request_of_pipelines_is_started_whatever_names_them(
    api: Any, own_dsn: str, pipelines: Any, run: list[str]
) -> None:
    with psycopg.connect(own_dsn, autocommit=True) as db:
        db.execute("""select howdah.put_pipeline('images', '1.0', 0, '["scale"]')""")
        db.execute("""select howdah.put_pipeline('report', '2', 0, '["print"]')""")

    status, request = api.as_("web").post(
        "/rpc/start_request", pipelines=pipelines, args={"day": 5}, priority=7
    )
    _, steps = api.as_("viewer").get(f"/steps?workflow=eq.{request}&select=name&order=place.asc")
    _, jobs = api.as_("viewer").get("/jobs?select=args,priority&order=task.asc")

    assert status == 200
    assert sorted(step["name"] for step in steps) == run
    assert {job["priority"] for job in jobs} == {7}
    assert jobs[0]["args"]["day"] == (6 if isinstance(pipelines, dict) else 5)


def test_pipelines_that_cannot_be_read_are_refused_over_http(api: Any) -> None:
    status, said = api.as_("web").post("/rpc/start_request", pipelines="[images")

    assert (status, said["code"]) == (400, "JQ001")
    assert "Nothing was started" in said["hint"]


# A function that has a nameless argument without a default is none that PostgREST could choose.
NOT_FOR_POSTGREST = {
    "start_request(text[],jsonb,integer,text)": "for SQL: the one with a text takes JSON arrays",
    "start_request(jsonb,jsonb,integer,text)": "for SQL: the one with a text takes JSON",
}


def test_every_function_of_the_contract_can_be_found_by_the_names_of_its_arguments(
    db: psycopg.Connection,
) -> None:
    """What PostgREST cannot call: procedures, nameless or variadic arguments, overloads."""
    found = db.execute(
        "select proname, oid::regprocedure::text, prokind, provariadic, pronargs, "
        "coalesce(proargnames, '{}') from pg_proc where pronamespace = 'howdah'::regnamespace"
    ).fetchall()

    callable_ = [
        (name, kind, variadic, [*named[:count]], count)
        for name, signature, kind, variadic, count, named in found
        if signature.replace("howdah.", "").replace("pg_catalog.", "") not in NOT_FOR_POSTGREST
    ]
    names = [name for name, *_ in callable_]
    assert len(callable_) == len(found) - len(NOT_FOR_POSTGREST)
    assert len(names) == len({*names}) > 20
    for name, kind, variadic, named, count in callable_:
        assert (kind, variadic) == ("f", 0), name
        assert len(named) == count, name
        assert all(named), name


def test_those_that_are_not_for_postgrest_have_a_nameless_argument_that_must_be_given(
    db: psycopg.Connection,
) -> None:
    for signature in NOT_FOR_POSTGREST:
        [(names, count, defaults)] = db.execute(
            "select proargnames, pronargs, pronargdefaults from pg_proc "
            "where oid = %s::regprocedure",
            [f"howdah.{signature}"],
        ).fetchall()

        assert "" in names[: count - defaults], signature
