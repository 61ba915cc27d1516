"""A worker on an island: every address that there is, is a canary of ours, but for two."""

from __future__ import annotations

import json
import subprocess
import sys
from urllib.parse import quote

import island
import pytest
from hostile_urls import NO_URLS, NOT_ALLOWED
from island import NAMES, PUBLIC, PUBLIC_6
from psycopg.types.json import Jsonb

OUTSIDE = {PUBLIC, PUBLIC_6}


class Island:
    """Worker, names and canaries; `connections` tells which addresses were connected to."""

    def __init__(self, dsn):
        program = [sys.executable, island.__file__, dsn]
        self.process = subprocess.Popen(
            ["unshare", "--net", "--mount", *program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"

    def connections(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        return told["near"], told["far"]

    def close(self):
        self.process.communicate(timeout=30)


def _flaw():
    try:
        subprocess.run(
            ["unshare", "--net", "--mount", sys.executable, island.__file__, "--try"],
            check=True, capture_output=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error).encode()).decode().splitlines()[-1]
        return f"NOT TESTED: no canaries, since no network can be made here (root, ip): {said}"
    return None


@pytest.fixture
def canaries(dsn):
    if flaw := _flaw():
        pytest.skip(flaw)
    canaries = Island(dsn)
    yield canaries
    canaries.close()


def _enqueue(db, urls):
    """Past the door for URL jobs, which would refuse many of them."""
    with db.cursor() as cursor:
        cursor.executemany(
            "select howdah.enqueue('http', %s, queue => 'http', max_attempts => 1)",
            [[Jsonb({"url": url})] for url in urls],
        )


async def _all_ended(db, count, eventually):
    unended = "select count(*) filter (where finished_at is not null) from howdah.http_jobs"
    await eventually(lambda: db.execute(unended).fetchone() == (count,), within=150)


async def test_whatever_a_url_says_and_wherever_it_redirects_no_canary_is_met(
    db, canaries, eventually
):
    hosts = [f"http://{name}{port}/" for name in NAMES for port in ("", ":8080", ":5432")]
    direct = [url for url in (*NO_URLS, *NOT_ALLOWED, *hosts) if "\x00" not in url]
    onward = [
        f"http://{PUBLIC}/?to={quote(url)}" for url in direct if url and not {*url} & {*"\r\n"}
    ]

    _enqueue(db, [*direct, *onward])
    await _all_ended(db, len(direct) + len(onward), eventually)

    near, far = canaries.connections()
    assert (near, {*far} - OUTSIDE) == ({}, set())
    assert far[PUBLIC] >= len(onward)
    answered = db.execute(
        "select distinct url from howdah.http_jobs where state = 'succeeded'"
    ).fetchall()
    assert {url for (url,) in answered if "?to=" not in url} == {"http://public.test/"}
    assert len(direct) > 250


@pytest.mark.parametrize(
    "tries", [pytest.param(200, id="200"), pytest.param(10_000, id="10000", marks=pytest.mark.slow)]
)
async def test_a_name_that_is_elsewhere_each_time_leads_to_no_canary(
    db, canaries, eventually, record, tries
):
    _enqueue(db, [f"http://n{n % 50}.rebind.test/" for n in range(tries)])
    await _all_ended(db, tries, eventually)

    near, far = canaries.connections()
    outcomes = dict(
        db.execute("select state, count(*) from howdah.http_jobs group by state").fetchall()
    )
    record(f"rebinding, {tries} tries", [], canaries=sum(near.values()), **far, **outcomes)
    assert (near, {*far} - OUTSIDE) == ({}, set())
    assert min(outcomes["succeeded"], outcomes["failed"]) > tries / 10
