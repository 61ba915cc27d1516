"""`howdah workflows`: looked at as text, Mermaid and JSON; cancelled and retried."""

from __future__ import annotations

from uuid import UUID

import pytest

from howdah import Workflow, jobs, store, workflows
from howdah.client import on
from howdah.job import Job


@pytest.fixture
def flow(db):
    """The id of a workflow of three steps: the first has succeeded, the second runs."""
    order = Workflow("order").add("charge", Job("charge", "{}"))
    order.add("pack", Job("pack", "{}"), after="charge").add(
        "ship", Job("ship", "{}"), after=["charge", "pack"]
    )
    run_id = on(db).enqueue(order)
    [charge] = on(db).run(jobs.claim(n=1))
    on(db).run(jobs.ack(charge.id, charge.lease))
    [pack] = on(db).run(jobs.claim(n=1))
    return str(run_id), pack


def test_a_workflow_is_shown_as_text_mermaid_and_json(run, flow):
    flow, _ = flow
    text, mermaid = (
        run("workflows", "show", flow[-8:]),
        run("workflows", "show", flow, "--mermaid"),
    )
    told = run("workflows", "show", flow, "--json").json

    assert "33 %" in text.out
    assert [line.split()[:3] for line in text.out.splitlines()[-3:]] == [
        ["✓", "charge", "succeeded"], ["▶", "pack", "running"], ["·", "ship", "blocked"],
    ]  # fmt: skip
    assert "← charge, pack" in text.out
    assert mermaid.out.startswith("flowchart TD\n")
    assert "s0 --> s1" in mermaid.out
    assert [(step["name"], step["running"], step["after"]) for step in told["graph"]] == [
        ("charge", 0, []), ("pack", 1, ["charge"]), ("ship", 0, ["charge", "pack"]),
    ]  # fmt: skip
    assert (told["state"], told["percent"] // 1) == ("running", 33)
    assert [told[what] for what in ("jobs", "succeeded", "failed", "cancelled")] == [3, 1, 0, 0]


def test_a_workflow_that_cannot_go_on_says_why(run, db, flow):
    flow, _ = flow
    db.execute("update _howdah.workflow set error = 'it is stuck'")
    db.commit()

    shown = run("workflows", "show", flow)

    assert "cannot go on it is stuck" in " ".join(shown.out.split())


def test_workflows_are_listed_cancelled_and_retried(run, db, flow):
    flow, pack = flow
    assert [found["name"] for found in run("workflows", "list", "--json").json] == ["order"]
    early = run("workflows", "retry", flow)
    cancelled = run("workflows", "cancel", flow)
    on(db).run(jobs.ack(pack.id, pack.lease))  # it could not be stopped
    on(db).run(store.admit(100))
    again = run("workflows", "cancel", flow)

    assert (early.code, again.code) == (5, 5)
    assert "has not ended" in early.err
    assert cancelled.out == f"cancelled {flow}\n"
    assert "it has ended" in again.err
    assert run("workflows", "retry", flow).out == f"retried {flow}: 2 jobs\n"
    assert on(db).run(workflows.get(UUID(flow))).state == "running"


def test_a_workflow_that_is_not_there(run):
    shown = run("workflows", "show", "01890000-0000-7000-8000-000000000000")

    assert shown.code == 4
    assert "there is no workflow" in shown.err
