"""From what a driver raised to our errors, by SQLSTATE, whatever the driver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from howdah import errors
from howdah.printable import gist

MIGRATE = "Run: howdah db migrate"


@dataclass(frozen=True, slots=True)
class ServerWord:
    """What the server said: SQLSTATE, message and hint."""

    code: str
    message: str
    hint: str | None


def translated(error: BaseException) -> errors.HowdahError | None:
    """Our error for a driver's; None where it is not about us and should go on as it is."""
    word = server_word(error)
    if word is None:
        return _unsent(error)
    if word.code in _OURS:
        return _OURS[word.code](word.message, hint=word.hint)
    for codes, kind, sentence, hint in _SERVERS:
        if word.code in codes.split():
            return kind(sentence.format(word.message), hint=hint or word.hint)
    return None


def instead_of(error: BaseException) -> errors.HowdahError | None:
    """Our error for a driver's; None where it is ours already, or is to go on as it is."""
    return None if isinstance(error, errors.HowdahError) else translated(error)


_OURS: dict[str, type[errors.HowdahError]] = {
    "JQ001": errors.BadInput,
    "JQ002": errors.LeaseLost,
    "JQ003": errors.Conflict,
    "JQ004": errors.NotFound,
    "JQ005": errors.WorkerUnknown,
}
_SERVERS: tuple[tuple[str, type[errors.HowdahError], str, str | None], ...] = (
    (
        "3F000 42P01 42883 42704 42703",
        errors.SchemaMismatch,
        "the schema is missing here, or is not what this version needs ({})",
        MIGRATE,
    ),
    (
        "23514",
        errors.TooLarge,
        "a job cannot be stored like that ({})",
        "Arguments are one JSON object of at most 1 MiB, nested at most 64 deep.",
    ),
    (
        "22000 22P05 22P02 22021 22003 22008 22007",
        errors.BadInput,
        "the database cannot take this value: {}",
        None,
    ),
    (
        "25006",
        errors.ReadOnly,
        "the server accepts no writes here ({})",
        "Connect to the primary, or end the read-only transaction.",
    ),
    (
        "42501",
        errors.Denied,
        "{}",
        "Run: howdah db grant ROLE --as producer|worker|viewer|operator",
    ),
    ("28P01 28000", errors.Denied, "could not log in: {}", "Check user and password in the URL."),
    (
        "08000 08001 08003 08004 08006 53300 57P01 57P02 57P03 57P05",
        errors.NoDatabase,
        "the connection was lost, or cannot be had just now: {}",
        "Try again. Whether a call that was under way has been taken is not known.",
    ),
    (
        "53000 53100 53200 53400",
        errors.DatabaseError,
        "the server has run out of something: {}",
        "Nothing was stored. Make room on the server, then try again.",
    ),
    ("3D000", errors.NoDatabase, "{}", "Create it, or correct the URL."),
)


def _unsent(error: BaseException) -> errors.HowdahError | None:
    """For what a driver cannot even send: text with NUL or lone surrogates, too great a number."""
    for each in _chain(error):
        cannot_be_text = isinstance(each, UnicodeEncodeError) or (
            isinstance(each, ValueError) and "NUL" in str(each)
        )
        if cannot_be_text or type(each).__name__ == "DataError":
            return errors.BadInput(f"the database cannot take this value: {each}")
    return None


def server_word(error: BaseException | None) -> ServerWord | None:
    """SQLSTATE, message and hint of an error by asyncpg, psycopg 2 or 3, SQLAlchemy or Django."""
    found = None
    for each in _chain(error):
        code = getattr(each, "sqlstate", None) or getattr(each, "pgcode", None)
        if isinstance(
            code, str
        ):  # the innermost knows most: SQLAlchemy's own for asyncpg has no hint
            said = getattr(each, "diag", each)
            message = getattr(said, "message_primary", None) or getattr(each, "message", None)
            hint = getattr(said, "message_hint", None) or getattr(each, "hint", None)
            found = ServerWord(code, str(message or each), hint if isinstance(hint, str) else None)
    return found


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those inside it: SQLAlchemy and Django wrap the driver's own, a few deep."""
    for _ in range(5):
        if error is None:
            return
        yield error
        error = getattr(error, "orig", None) or error.__cause__


def is_connection_loss(error: BaseException) -> bool:
    """Whether the connection, or the server behind it, went away or cannot be had just now.

    Classes 08 (connection), 53 (resources), 57P0x (shutting down, starting), 25006 (read-only).
    """
    if isinstance(error, OSError | EOFError | TimeoutError):
        return True
    word = server_word(error)
    if word is not None:
        return word.code[:2] in {"08", "53"} or word.code in {
            "57P01", "57P02", "57P03", "57P05", "25006", "55P03", "40001", "40P01",
        }  # fmt: skip
    return _is_closed(error)


# What PgBouncer says when a server will soon be there again; the first three are the server's own.
_FOR_A_WHILE = (
    "the database system is", "terminating connection", "too many clients",
    "no more connections", "server login has been failing", "server_login_retry",
    "cannot connect to server", "server conn crashed", "closed the connection",
    "query_wait_timeout", "invalid server parameter",  # its own SET was cancelled
)  # fmt: skip


def is_transient(error: BaseException) -> bool:
    """Whether a server is there, and what it has refused it will soon let pass.

    It starts, has no connection or no room left, is locked, or has hung up in mid sentence; or
    somebody cancelled a statement of ours. Not where nobody answers, or where what was asked for
    is wrong.
    """
    word = server_word(error)
    if word is not None and word.code == "08P01":  # what PgBouncer says of anything
        return any(said in word.message for said in _FOR_A_WHILE)
    if word is not None:
        return word.code == "57014" or (is_connection_loss(error) and word.code != "25006")
    return isinstance(error, TimeoutError) or any(_has_hung_up(each) for each in _chain(error))


def _has_hung_up(error: BaseException) -> bool:
    """Refused connections are of a class below these."""
    if isinstance(
        error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError | EOFError
    ):
        return True
    return type(error) is ConnectionError or _is_closed(error) or _is_lost(error)


def _is_lost(error: BaseException) -> bool:
    """Whether asyncpg lost the thread: a cancel or an end came while it was still connecting."""
    kind = type(error)
    return kind.__module__.startswith("asyncpg.") and kind.__name__ == "InternalClientError"


def _is_closed(error: BaseException) -> bool:
    """Whether asyncpg says that its connection is."""
    return type(error).__module__.startswith("asyncpg.") and "closed" in str(error).lower()


def in_words(error: BaseException) -> str:
    """What went wrong, in one line, without what to do about it."""
    told = error.message if isinstance(error, errors.HowdahError) else str(error)
    return gist(told) or type(error).__name__


def is_read_only(error: BaseException) -> bool:
    """Whether the server, or each of them, accepts no writes: a standby, or told so."""
    word = server_word(error)
    return isinstance(error, errors.ReadOnly) or (word is not None and word.code == "25006")
