"""A worker that cannot begin says so once, without a traceback, and leaves nobody behind."""

from __future__ import annotations

import socket

import pytest


async def _refusal(parent, code):
    assert await parent.ended() == code
    assert parent.family() == []
    assert "Traceback" not in parent.errors
    assert parent.errors.count("error: ") == 1
    assert parent.errors.count("hint: ") == 1
    return parent.errors


@pytest.mark.parametrize(
    ("app", "source", "said"),
    [
        ("nowhere:app", "", "cannot import 'nowhere'"),
        ("broken:application", "from howdah import App\napp = App()", "broken has no application"),
        ("broken:app", "import sys\nsys.exit(0)", "SystemExit"),
    ],
)
async def test_an_app_that_cannot_be_had_is_2(start, folder, app, source, said):
    (folder / "broken.py").write_text(source)

    errors = await _refusal(start("-p", "2", app=app), 2)

    assert errors.count(said) == 1


async def test_an_app_that_ends_its_process_is_1(start, folder):
    (folder / "broken.py").write_text("import os\nos.kill(os.getpid(), 11)")

    errors = await _refusal(start("-p", "2", app="broken:app"), 1)

    assert "process 1 was killed by SIGSEGV before it could work" in errors


async def test_no_schema_and_no_database_are_3(start, empty_dsn):
    no_schema = start("-p", "2", database=empty_dsn)
    no_database = start("-p", "2", database="postgresql://u:s3cret@127.0.0.1:1/x")

    said = await _refusal(no_schema, 3) + await _refusal(no_database, 3)

    assert "there is no schema howdah in this database" in said
    assert "howdah db migrate" in said
    assert "s3cret" not in said


async def test_a_port_that_somebody_has_is_5(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        errors = await _refusal(start("--health-port", f"127.0.0.1:{port}"), 5)

    assert f"cannot listen on 127.0.0.1:{port}" in errors


async def test_a_folder_with_a_module_named_like_one_of_pythons_is_no_obstacle(
    start, folder, store, eventually
):
    (folder / "selectors.py").write_text("raise RuntimeError('not this one')")
    parent = start("-p", "1")
    await parent.ready()
    job_id = store.enqueue("hold")

    await eventually(lambda: store.state(job_id) == "succeeded")
