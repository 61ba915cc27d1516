"""From what went wrong to exit codes; and how errors are told: what happened, what to do."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from howdah import errors
from howdah.cli.lazy import ReaderGoneError
from howdah.cli.passwords import refuse_passwords
from howdah.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FAILED, USAGE, NO_DATABASE, NOT_FOUND, REFUSED, INTERRUPTED = 1, 2, 3, 4, 5, 130
TIMED_OUT = 124  # as with timeout(1): what was waited for goes on

# The first that fits; those that are more special stand before those that are less.
CODES: Mapping[type[BaseException], int] = {
    errors.BadInput: USAGE,
    errors.NotFound: NOT_FOUND,
    errors.UnknownTask: NOT_FOUND,
    errors.WorkerUnknown: NOT_FOUND,
    errors.Conflict: REFUSED,
    errors.LeaseLost: REFUSED,
    errors.ReadOnly: REFUSED,
    errors.Denied: REFUSED,
    errors.DatabaseError: NO_DATABASE,
    errors.HowdahError: FAILED,
}


def exit_code(command: click.Command, arguments: list[str] | None, program: str = "howdah") -> int:
    """Run a command; expected errors are told in two lines on stderr, without a traceback."""
    _prepare_output()
    try:
        refuse_passwords(sys.argv[1:] if arguments is None else arguments)
        code = command.main(arguments, prog_name=program, standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        return _told_of_usage(error)
    except (KeyboardInterrupt, click.Abort):
        tell("interrupted")
        return INTERRUPTED
    except (BrokenPipeError, ReaderGoneError):
        _drop_output()
        return 0
    except Exception as error:
        return _told(error)
    return code if isinstance(code, int) else 0


def _told_of_usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return 0
    tell(error.format_message(), _usage(error))
    return USAGE


def _prepare_output() -> None:
    """Streams that take any text: closed ones are replaced, narrow encodings get escapes."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def code_of(error: BaseException) -> int | None:
    """The exit code of an error; None for one that nobody expects."""
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), None)


def tell(message: str, hint: str | None = None) -> None:
    """An error, on stderr; with `hint` what to do about it."""
    click.echo(f"{_styled('error:', 'red')} {_safe(message)}", err=True)
    if hint:
        click.echo(f"{_styled('hint:', 'cyan')} {_safe(hint)}", err=True)


def tell_all(refused: Iterable[errors.HowdahError]) -> int:
    """Each on stderr; gives the greatest of their exit codes, 0 for none."""
    code = 0
    for error in refused:
        tell(error.message, error.hint)
        code = max(code, code_of(error) or FAILED)
    return code


def _told(error: Exception) -> int:
    code = code_of(error)
    if code is not None and isinstance(error, errors.HowdahError):
        tell(error.message, error.hint)
        return code
    if isinstance(error, TimeoutError):
        tell(str(error) or "that took too long")
        return FAILED
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        tell(str(error))
        _drop_output()
        return FAILED
    if _is_of_the_database(error):
        return _told_of_database(error)
    raise error


def _is_of_the_database(error: Exception) -> bool:
    from howdah.refusals import is_connection_loss

    return is_connection_loss(error) or hasattr(error, "sqlstate")


def _drop_output() -> None:
    """What is left in stdout's buffer has nowhere to go: the interpreter shall not try again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told_of_database(error: Exception) -> int:
    from howdah.refusals import is_connection_loss, translated

    known = translated(error)
    if known is not None:
        return _told(known)
    if is_connection_loss(error):
        tell(f"the database went away: {error}", "Try again; howdah doctor looks closer.")
        return NO_DATABASE
    tell(f"the database said: {error}")
    return FAILED


def _usage(error: click.ClickException) -> str | None:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help shows how it is used." if context else None


def _safe(text: str) -> str:
    return printable(_without_secrets(text), lines=True)


def _without_secrets(text: str) -> str:
    """No password of the environment gets through, whatever message it sits in."""
    secrets = [os.environ.get("PGPASSWORD", "")]
    for name in ("HOWDAH_DATABASE_URL", "DATABASE_URL", "HOWDAH_LISTEN_URL", "HOWDAH_IMPORT_FROM"):
        secrets += re.findall(r"://[^/@:]*:(.*)@", os.environ.get(name, ""))
    for secret in secrets:
        text = text.replace(secret, "***") if len(secret) > 3 else text
    return text


def _styled(text: str, colour: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour, bold=True)
