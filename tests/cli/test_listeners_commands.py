"""`howdah listeners`: put, list, pause, resume, emit, delete."""

from __future__ import annotations

import pytest


def test_a_listener_is_put_hears_is_paused_and_deleted(run, db):
    asked = ("listeners", "put", "index", "page.*", "jobs.index", '{"deep": true}')
    options = ("--delay", "90s", "--collapse-on", "page", "-q", "slow", "--tag", "x")

    put, again = run(*asked, *options), run(*asked, *options)
    heard = run("listeners", "emit", "page.changed", '{"page": 7, "by": "Ö"}')
    paused = run("listeners", "pause", "index")
    [listed] = run("listeners", "list", "--json").json
    unheard = run("listeners", "emit", "page.changed")
    resumed = run("listeners", "resume", "index")
    deleted = run("listeners", "delete", "index")

    assert (put.err, again.err) == ("index is put\n", "index was just so already\n")
    assert (paused.err, resumed.err) == ("index is paused\n", "index goes on\n")
    assert (heard.out, unheard.out) == ("1\n", "0\n")
    assert (listed["event"], listed["delay"], listed["collapse_on"], listed["paused"]) == (
        "page.*", 90.0, "page", True,
    )  # fmt: skip
    [(queue, state, args)] = db.execute("select queue, state, args from howdah.jobs").fetchall()
    assert (queue, state, args["deep"]) == ("slow", "scheduled", True)
    assert [event["data"] for event in args["events"]] == [{"page": 7, "by": "Ö"}]
    assert deleted.err == "index is deleted\n"
    assert run("listeners", "list", "--json").json == []


def test_the_list_says_what_each_one_hears_and_whether_it_does(run):
    run("listeners", "put", "tell", "job.failed.*", "mail", "--collapse", "--delay", "1m")
    run("listeners", "pause", "tell")

    shown = run("listeners", "list").out.split()

    assert shown[-6:] == ["tell", "job.failed.*", "mail", "1m", "all", "paused"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("put", "", "e", "mail"), 2),
        (("put", "l", "a*b", "mail"), 2),
        (("put", "l", "e", "mail*"), 2),
        (("put", "l", "e", "mail", "[]"), 2),
        (("put", "l", "e", "mail", "--delay", "soon"), 2),
        (("emit", "a*"), 2),
        (("emit", "a", "7"), 2),
        (("pause", "none"), 4),
        (("resume", "none"), 4),
        (("delete", "none"), 4),
    ],
)
def test_what_cannot_be_done_is_said(run, words, code):
    refused = run("listeners", *words)

    assert refused.code == code
    assert refused.err.startswith("error: ")
