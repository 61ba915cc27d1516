"""A worker in nothing but SQL: claims, and acks; often too late, and then it must be refused.

    python -m chaos.sqlworker NUMBER SEED

It has no row among the workers: its leases end by the clock.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from chaos.log import Log

TOO_LONG = (0.8, 1.6)  # seconds; the lease is of one
CLAIM = "select id, lease, args ->> 'key', attempt from howdah.claim(n => 5, queues => '{sql}')"
ACK = "select howdah.ack(%s, %s, %s::jsonb)"


def work(connection: psycopg.Connection, chance: Random, note: Any, pid: int) -> None:
    """Claim some and end them, for ever."""
    while os.getppid() != 1:
        claimed = connection.execute(CLAIM).fetchall()
        if not claimed:
            time.sleep(0.1)
        for job, lease, key, attempt in claimed:
            at = {"k": int(key), "f": str(lease), "w": pid}
            note("start", a=attempt, **at)
            if chance.random() < 0.12:
                time.sleep(chance.uniform(*TOO_LONG))
            note("end", **at)
            try:
                connection.execute(ACK, [job, lease, json.dumps(str(lease))])
            except psycopg.Error as error:
                note("refused" if error.sqlstate == "JQ002" else "unknown", **at)
                if error.sqlstate != "JQ002":
                    raise
            else:
                note("acked", **at)


def main(number: int, seed: int) -> None:
    """Connect, work, and connect again."""
    folder, pid = Path(os.environ["CHAOS_FOLDER"]), os.getpid()
    log = Log(folder / "log" / f"sql-{number}.jsonl")
    chance = Random(f"{seed}/sql/{number}")
    while os.getppid() != 1:
        with suppress(psycopg.Error), psycopg.connect(
            os.environ["HOWDAH_DATABASE_URL"], autocommit=True, connect_timeout=5,
            options="-c statement_timeout=10s", prepare_threshold=None, tcp_user_timeout=10_000,
        ) as connection:  # fmt: skip
            work(connection, chance, log.write, pid)
        time.sleep(0.2)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
