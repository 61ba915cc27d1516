"""Errors: few classes, each says what was wrong, and keeps the facts."""

from __future__ import annotations

import pickle
import socket
from uuid import uuid4

import asyncpg
import pytest

from howdah import (
    BadArguments,
    BadInput,
    CommitUncertain,
    HowdahError,
    JobCancelled,
    JobFailed,
    TooLarge,
    UnknownTask,
    errors,
)
from howdah.refusals import is_connection_loss, is_transient, server_word, translated


class Said(Exception):
    """An error as a driver raises it."""

    def __init__(self, sqlstate: str, message: str = "words", hint: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate, self.message, self.hint = sqlstate, message, hint


ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, HowdahError)
]


def test_every_error_of_ours_has_the_one_root() -> None:
    assert len(ALL) > 10
    assert issubclass(BadArguments, BadInput)
    assert issubclass(TooLarge, BadInput)
    assert issubclass(BadInput, ValueError)


@pytest.mark.parametrize(
    "error",
    [
        BadInput("no", hint="do"),
        BadArguments("mail.send", "user_id: missing"),
        UnknownTask("mail.send"),
        JobFailed(uuid4(), "Traceback\nValueError: no"),
        JobCancelled(uuid4(), "gone"),
        CommitUncertain("canceling wait for synchronous replication due to user request"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_the_way_to_another_process_with_its_facts(error: HowdahError) -> None:
    back = pickle.loads(pickle.dumps(error))

    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_a_hint_is_said_on_a_line_of_its_own() -> None:
    assert str(BadInput("no", hint="do")) == "no\ndo"
    assert str(BadInput("no")) == "no"


def test_a_failed_job_is_told_by_the_gist_of_its_error() -> None:
    job_id = uuid4()

    error = JobFailed(
        job_id, "Traceback (most recent call last):\n  File …\nValueError: no such user\nlook\n"
    )

    assert str(error) == f"job {job_id} failed: ValueError: no such user"
    assert error.error is not None
    assert error.error.startswith("Traceback")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("JQ001", errors.BadInput),
        ("JQ002", errors.LeaseLost),
        ("JQ003", errors.Conflict),
        ("JQ004", errors.NotFound),
        ("JQ005", errors.WorkerUnknown),
        ("3F000", errors.SchemaMismatch),
        ("42883", errors.SchemaMismatch),
        ("23514", errors.TooLarge),
        ("22P05", errors.BadInput),
        ("25006", errors.ReadOnly),
        ("42501", errors.Denied),
        ("28P01", errors.Denied),
        ("3D000", errors.NoDatabase),
        ("53100", errors.DatabaseError),
        ("53300", errors.NoDatabase),
    ],
)
def test_a_sqlstate_becomes_an_error_of_ours(code: str, kind: type[HowdahError]) -> None:
    found = translated(Said(code, "the words", "the hint"))

    assert type(found) is kind
    assert "the words" in str(found)


def test_an_error_that_is_not_about_us_is_left_as_it_is() -> None:
    assert translated(Said("40001")) is None
    assert translated(RuntimeError("other")) is None
    assert server_word(None) is None


@pytest.mark.parametrize("code", ["08006", "53300", "57P01", "57P03", "25006"])
def test_a_lost_connection_is_known_by_its_sqlstate(code: str) -> None:
    assert is_connection_loss(Said(code))
    assert is_connection_loss(ConnectionResetError())


def test_a_refusal_is_no_lost_connection() -> None:
    assert not is_connection_loss(Said("JQ002"))
    assert not is_connection_loss(ValueError("closed"))


@pytest.mark.parametrize(
    "error",
    [
        *[Said(code) for code in ("08006", "53100", "53300", "57P01", "57P03", "55P03", "40P01")],
        Said("08P01", "no more connections allowed (max_client_conn)"),
        Said("08P01", "invalid server parameter"),  # PgBouncer's SET was cancelled
        Said("08P01", "the database system is starting up"),  # a server's, told by PgBouncer
        Said("08P01", "server login has been failing, try again later (server_login_retry)"),
        ConnectionResetError(),
        ConnectionError("unexpected connection_lost() call"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation is in progress"),
        TimeoutError(),
    ],
    ids=repr,
)
def test_what_a_server_refuses_for_a_while_is_transient(error: Exception) -> None:
    assert is_transient(error)
    assert is_transient(caused_by(error)) is not isinstance(error, TimeoutError)


@pytest.mark.parametrize(
    "error",
    [
        *[Said(code) for code in ("25006", "28P01", "3D000", "3F000", "42501", "08P01", "JQ002")],
        ConnectionRefusedError(),
        FileNotFoundError(),
        socket.gaierror(),
        ValueError("closed"),
    ],
    ids=repr,
)
def test_what_waiting_does_not_mend_is_not_transient(error: Exception) -> None:
    assert not is_transient(error)
    assert not is_transient(caused_by(error))


def caused_by(error: Exception) -> HowdahError:
    """Our own for it, as `open_connection` raises it: a host that never answered was not there."""
    ours = errors.NoDatabase("cannot connect")
    ours.__cause__ = error
    return ours
