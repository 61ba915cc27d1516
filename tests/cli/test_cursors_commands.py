"""`howdah cursors`: what each serial key hands on."""

from __future__ import annotations


def test_a_cursor_that_was_set_is_shown_and_listed_as_json_and_not_as_text(run):
    run("cursors", "set", "account:1", '{"n": 5}')

    listed = run("cursors", "list", "--json").json
    shown = run("cursors", "show", "account:1", "--json").json

    assert [(c["key"], c["cursor"]) for c in listed] == [("account:1", {"n": 5})]
    assert shown["cursor"] == {"n": 5}
