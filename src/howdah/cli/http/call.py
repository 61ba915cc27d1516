"""`howdah http call`: has a worker call a URL, and prints what it answers."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from howdah import jobs
from howdah.app import App
from howdah.cli import database, show
from howdah.cli.answers import wait
from howdah.cli.options import DURATION
from howdah.cli.options import as_json as json_option
from howdah.errors import BadInput


@click.command("call")
@click.argument("url")
@click.option("--method", "-X", help="GET; POST where there is something to send.")
@click.option("--data", "-d", help="JSON to send; - reads it from stdin.")
@click.option(
    "--form", "-F", "form", multiple=True, metavar="NAME=VALUE", help="A field of a form."
)
@click.option("--header", "-H", "headers", multiple=True, metavar="NAME: VALUE", help="A header.")
@click.option("--timeout", type=DURATION, default="30s", help="Of one attempt.")
@click.option("--max-attempts", type=int, help="Attempts in all.")
@click.option("--queue", "-q", default="http", show_default=True, help="The queue.")
@click.option("--sign", metavar="SECRET", help="Sign it with the worker's secret of this name.")
@click.option("--fail", is_flag=True, help="Exit code 1 for an answer of 400 and above, too.")
@click.option("--no-wait", is_flag=True, help="Print the job's id and leave.")
@click.option("--wait-timeout", "within", type=DURATION, help="Wait so long at most; then 124.")
@json_option
def command(
    *,
    url: str,
    method: str | None,
    data: str | None,
    form: tuple[str, ...],
    headers: tuple[str, ...],
    within: float | None,
    fail: bool,
    no_wait: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Have a worker (howdah worker --http) call URL; print the body that it answers.

    The status goes to stderr. Exit code 1 if the job failed or was cancelled.
    """
    if data is not None:
        options["json"] = _json(sys.stdin.read() if data == "-" else data)
    if form:
        options["form"] = _pairs(form, "=", "NAME=VALUE")
    verb = method or ("POST" if data is not None or form else "GET")
    job = App().http.job(verb, url, headers=_pairs(headers, ":", "NAME: VALUE"), **options)
    settings = database.ready()
    job_id = database.with_store(lambda door: door.run(jobs.enqueue(job)), settings)
    if no_wait:
        click.echo(str(job_id))
        return 0
    show.said(f"{job_id} is stored; waiting for its end")
    return wait(settings, job_id, within=within, fail=fail, as_json=as_json)


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadInput(f"the data are no JSON: {error}") from error


def _pairs(given: tuple[str, ...], between: str, form: str) -> dict[str, Any]:
    """Named values; a list where a name is there more than once."""
    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition(between)
        if not sign:
            raise BadInput(f"{text!r} is not {form}")
        known = found.setdefault(name.strip(), [])
        known.append(value.strip() if between == ":" else value)
    return found
