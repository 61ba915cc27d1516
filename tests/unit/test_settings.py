"""Settings, and where each came from."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import PostgresDsn

from howdah import App, BadInput
from howdah.settings import _read as original
from howdah.settings import default_schema, load, plain_url, project_root, without_password
from howdah.sql import check_schema


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.howdah]\nschema = "from_pyproject"\nslots = 7\n'
    )
    (tmp_path / "howdah.toml").write_text('schema = "from_howdah"\nslots = 8\npoll_every = 0.5\n')
    return tmp_path


def test_arguments_win_over_the_environment_and_that_over_the_projects_files(project: Path) -> None:
    environ = {"HOWDAH_SCHEMA": "from_environment"}

    said = [
        load({"schema": "from_argument"}, environ=environ, folder=project),
        load({}, environ=environ, folder=project),
        load({}, environ={}, folder=project),
    ]

    assert [loaded.settings.schema for loaded in said] == [
        "from_argument", "from_environment", "from_pyproject",
    ]  # fmt: skip
    assert [loaded.sources["schema"] for loaded in said] == [
        "argument", "environment (HOWDAH_*)", "pyproject.toml",
    ]  # fmt: skip


def test_each_setting_is_taken_from_the_first_place_that_has_it(project: Path) -> None:
    loaded = load({}, environ={}, folder=project)

    assert (loaded.settings.slots, loaded.sources["slots"]) == (7, "pyproject.toml")
    assert (loaded.settings.poll_every, loaded.sources["poll_every"]) == (0.5, "howdah.toml")
    assert (loaded.settings.shutdown_after, loaded.sources["shutdown_after"]) == (25.0, "default")


def test_our_own_variable_wins_over_the_common_one_and_that_over_the_clients(
    tmp_path: Path,
) -> None:
    environ = {
        "HOWDAH_DATABASE_URL": "postgresql://a/a",
        "DATABASE_URL": "postgresql://b/b",
        "PGHOST": "c",
    }

    first = load({}, environ=environ, folder=tmp_path)
    del environ["HOWDAH_DATABASE_URL"]
    second = load({}, environ=environ, folder=tmp_path)
    del environ["DATABASE_URL"]
    third = load({}, environ=environ, folder=tmp_path)

    assert first.settings.database_url == "postgresql://a/a"
    assert second.settings.database_url == "postgresql://b/b"
    assert third.settings.database_url == "postgresql://"
    assert third.sources["database_url"] == "environment (PG*)"


def test_an_empty_variable_is_no_setting(tmp_path: Path) -> None:
    environ = {"HOWDAH_DATABASE_URL": "", "DATABASE_URL": "", "PGHOST": "", "HOWDAH_SLOTS": ""}

    loaded = load({"schema": None}, environ=environ, folder=tmp_path)

    assert loaded.settings.database_url is None
    assert loaded.settings.slots == 100


def test_the_files_of_the_nearest_folder_upwards_are_read(project: Path) -> None:
    (deep := project / "src" / "package").mkdir(parents=True)

    assert project_root(deep) == project
    assert load({}, environ={}, folder=deep).settings.slots == 7


def test_text_of_the_environment_becomes_the_type_of_its_setting(tmp_path: Path) -> None:
    environ = {"HOWDAH_SLOTS": "12", "HOWDAH_POLL_EVERY": "0.25", "HOWDAH_PREPARE": "false"}

    found = load({}, environ=environ, folder=tmp_path).settings

    assert (found.slots, found.poll_every, found.prepare) == (12, 0.25, False)


def test_durations_may_have_units_wherever_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "howdah.toml").write_text('lost_after = "2m"\n')
    given = {"shutdown_after": timedelta(seconds=9)}

    found = load(given, environ={"HOWDAH_POLL_EVERY": "500ms"}, folder=tmp_path).settings

    assert (found.poll_every, found.lost_after, found.shutdown_after) == (0.5, 120, 9)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"HOWDAH_SLOTS": "many"}, "slots"),
        ({"HOWDAH_SLOTS": "1.5"}, "slots"),
        ({"HOWDAH_PREPARE": "perhaps"}, "prepare"),
        ({"HOWDAH_SCHEMA": "Drop Table"}, "Drop Table"),
        ({"HOWDAH_SCHEMA": "pg_mine"}, "pg_mine"),
        ({"HOWDAH_SCHEMA": 'a"b'}, 'a"b'),
        ({"HOWDAH_SLOTS": "0"}, "slots"),
        ({"HOWDAH_SLOTS": "-1"}, "slots"),
        ({"HOWDAH_POLL_EVERY": "0"}, "poll_every"),
        ({"HOWDAH_POLL_EVERY": "-1"}, "poll_every"),
        ({"HOWDAH_POLL_EVERY": "nan"}, "poll_every"),
        ({"HOWDAH_POLL_EVERY": "inf"}, "poll_every"),
        ({"HOWDAH_LOST_AFTER": "0"}, "lost_after"),
        ({"HOWDAH_SHUTDOWN_AFTER": "-1"}, "shutdown_after"),
    ],
)
def test_a_value_that_no_process_could_run_with_is_refused_and_named(
    tmp_path: Path, environ: dict[str, str], named: str
) -> None:
    with pytest.raises(BadInput) as refused:
        load({}, environ=environ, folder=tmp_path)

    assert named in str(refused.value)


def test_no_time_to_shut_down_in_is_allowed(tmp_path: Path) -> None:
    loaded = load({}, environ={"HOWDAH_SHUTDOWN_AFTER": "0"}, folder=tmp_path)

    assert loaded.settings.shutdown_after == 0


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("howdah.toml", "slotz = 3\n"),
        ("howdah.toml", 'slots = "many"\n'),
        ("howdah.toml", "slots = \n"),
        ("howdah.toml", "slots = \xff\n"),
        ("pyproject.toml", "[tool.howdah]\nslotz = 3\n"),
        ("pyproject.toml", "[tool]\nhowdah = 3\n"),
        ("pyproject.toml", "tool = 3\n"),
    ],
)
def test_a_file_that_says_nonsense_is_refused_and_named(
    tmp_path: Path, file: str, text: str
) -> None:
    (tmp_path / file).write_bytes(text.encode("latin-1"))

    with pytest.raises(BadInput) as refused:
        load({}, environ={}, folder=tmp_path)

    assert file in str(refused.value)


def test_an_unknown_argument_is_refused_with_the_names_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = App("postgresql://a/b", slotz=3)

    with pytest.raises(BadInput) as refused:
        _ = app.settings

    assert "slotz" in refused.value.message
    assert refused.value.hint
    assert "slots" in refused.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3cret@db.example/app",
        "postgresql://ann:s3cret@db.example:5432/app?sslmode=require",
        "postgresql://:s3cret@db.example/app",
        "postgresql:///app?user=ann&password=s3cret",
        "postgresql:///app?password=s3cret&host=/tmp",
        "postgresql://ann:x/s3cret@db.example/app",
        "postgresql://ann:x#s3cret@db.example/app",
        "postgresql://ann:x?s3cret@db.example/app",
        "postgresql://ann:x@s3cret@db.example/app",
        "postgresql://ann:s3cret@[::1/app",
        "postgresql+asyncpg://ann:s3cret@db.example/app",
    ],
)
def test_a_password_is_never_shown_wherever_it_stands_in_the_url(url: str) -> None:
    shown = without_password(url)

    assert "s3cret" not in shown
    assert shown.startswith("postgresql") or shown == "***"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("host=db user=ann password=s3cret dbname=app", "host=db user=ann password=*** dbname=app"),
        ("password = 's3cret \\' s3cret' host=db", "password = *** host=db"),
        ("sslpassword=s3\\ s3cret&s3cret host=db", "sslpassword=*** host=db"),
        ("host=db password='s3cret", "host=db password=***"),
        ("ann:s3cret@db/app", "ann:***@db/app"),
        ("postgres//ann:s3cret@db/app", "postgres//ann:***@db/app"),
        ("postgresql:/ann:s3cret@db/app", "postgresql:***@db/app"),
    ],
)
def test_a_password_is_not_shown_of_what_is_no_url_either(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.example/app",
        "postgresql://ann@db/app",
        "postgresql:///app?host=/tmp",
        "nonsense",
    ],
)
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert without_password(url) == url


def test_the_driver_that_sqlalchemy_adds_is_taken_off() -> None:
    assert plain_url("postgresql+asyncpg://a/b") == "postgresql://a/b"
    assert plain_url("postgresql://a/b?x=+") == "postgresql://a/b?x=+"
    assert plain_url("nonsense") == "nonsense"


def test_a_url_of_a_wrong_type_is_refused_without_its_password() -> None:
    with pytest.raises(BadInput, match="database_url") as refused:
        load({"database_url": PostgresDsn("postgresql://ann:s3cret@db/app")})

    assert "s3cret" not in str(refused.value)


def test_a_password_is_not_shown_by_the_settings_themselves() -> None:
    loaded = load({"database_url": "postgresql://ann:s3cret@db/app"}, environ={})

    assert "s3cret" not in repr(loaded)
    assert "s3cret" not in repr(loaded.settings)


@pytest.mark.parametrize("wrong", [{"slots": []}, {"database_url": 5}, {"poll_every": "soon"}])
def test_a_bad_argument_is_refused_as_bad_input(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="argument"):
        load(wrong, environ={})


@pytest.mark.parametrize("word", ["user", "order", "table", "all", "select", "values", "left"])
def test_a_word_of_sql_is_no_schema_name(word: str) -> None:
    with pytest.raises(BadInput, match="key word") as refused:
        check_schema(word)

    assert refused.value.hint == f"Use another name, for example {word}_jobs."


@pytest.mark.parametrize("name", ["howdah", "queue", "jobs", "users", "order_jobs", "q1"])
def test_other_words_may_be_schema_names(name: str) -> None:
    assert check_schema(name) == name


def test_the_default_schema_follows_environment_and_folder_and_reads_their_files_once(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr("howdah.settings._read", lambda file: read.append(file) or original(file))
    monkeypatch.chdir(project)

    in_project = [default_schema(), default_schema()]
    files = len(read)
    monkeypatch.setenv("HOWDAH_SCHEMA", "said")
    said = default_schema()
    monkeypatch.delenv("HOWDAH_SCHEMA")
    monkeypatch.chdir(tmp_path_factory.mktemp("other"))
    elsewhere = default_schema()

    assert in_project == ["from_pyproject", "from_pyproject"]
    assert files == 2
    assert (said, elsewhere) == ("said", "howdah")
