"""Defects planted in the SQL functions and tables."""

from __future__ import annotations

from mutants.mutant import FUNCTIONS, SQL, mutant

CLAIM, FINISH = f"{FUNCTIONS}/claim.sql", f"{FUNCTIONS}/finish.sql"
SETTLE, ENDS = f"{FUNCTIONS}/settle.sql", f"{FUNCTIONS}/end_attempts.sql"
RESCUE, PUT, EXTEND = f"{FUNCTIONS}/rescue.sql", f"{FUNCTIONS}/put.sql", f"{FUNCTIONS}/extend.sql"
HEARTBEAT, DURABLE = f"{FUNCTIONS}/heartbeat.sql", f"{FUNCTIONS}/durable.sql"
ADMIT, ENQUEUE = f"{FUNCTIONS}/admit.sql", f"{FUNCTIONS}/enqueue.sql"
NEXT_OF_KEY = "held.id is null and j.state = 'b' and j.serial_key = s.key"
TOKEN = "token := gen_random_uuid();"
ANYBODYS = "(j.lease = o.lease or (settle.leases is null and j.lease is null))"
DELETED = "(j.lease = any (tokens) or (settle.leases is null and j.lease is null))"
ONE_OF_A_KEY = "if enqueue.unique_key is not null then\n            insert into _howdah.job"
MADE = '            order by n.unique_key collate "C" nulls first, n.seq\n            on conflict'

MUTANTS = (
    mutant(
        "1", "no fence: anybody's success is taken",
        "tests/sql/test_ack.py::test_the_token_of_an_earlier_attempt_is_refused",
        (SETTLE, ANYBODYS, "true"), (SETTLE, DELETED, "true"),
    ),
    mutant(
        "1b", "no fence: anybody's failure is taken",
        "tests/sql/test_nack.py",
        (ENDS, "on j.id = o.id and j.lease = o.lease\n        left", "on j.id = o.id and j.lease is not null\n        left"),
    ),
    mutant(
        "2", "an integer for a fence: the token follows from job and attempt",
        "tests/sql/test_lost_claims.py",
        (CLAIM, TOKEN, "token := (select md5(string_agg(j.id::text || j.attempt, ',' order by j.id))::uuid"
                       " from _howdah.job j where j.ctid = any (picked));"),
    ),
    mutant(
        "3", "the ack of a lease that ran out is taken",
        "tests/sql/test_ack.py::test_a_lease_past_its_time_is_refused_before_any_chore_noticed",
        (FINISH, "where j.id = u.id and j.lease = u.lease and j.leased_until <= moment limit 1)", "where false)"),
    ),
    mutant(
        "4", "whoever knows a job's id prolongs its lease",
        "tests/sql/test_extend_release.py::test_extend_is_refused_without_a_good_lease",
        (EXTEND, "j.lease = extend.lease and j.leased_until > moment", "j.leased_until > moment"),
    ),
    mutant(
        "4b", "a swept worker is not told, and goes on",
        "tests/sql/test_rescue.py::test_a_swept_worker_learns_it_and_cannot_claim_any_more",
        (HEARTBEAT, "heartbeat.name is null then\n        answer.action := 'swept';",
                    "heartbeat.name is null then\n        answer.action := 'go';"),
    ),
    mutant(
        "5", "commits are as lazy as the session says",
        "tests/sql/test_durability.py::test_a_commit_is_durable_although_the_session_says_off",
        (DURABLE, "perform set_config('synchronous_commit', 'on', true);", "null;"),
    ),
    mutant(
        "6", "a claim ends the job",
        "tests/sql/test_rescue.py::test_the_jobs_of_a_silent_worker_come_back_uncharged",
        (CLAIM, "from leased l order by l.priority desc, l.seq;",
                "from leased l order by l.priority desc, l.seq;\n        perform _howdah.settle(l.ids,"
                " array_fill(token, array[cardinality(l.ids)]), 'S') from _howdah.lease l where l.lease = token;"),
    ),
    mutant(
        "8", "rescue counts neither attempt nor crash",
        "tests/sql/test_rescue.py::test_the_jobs_of_a_silent_worker_come_back_uncharged",
        (ENDS, "front => true, uncharge => true, crashed => true", "front => true, uncharge => true"),
    ),
    mutant(
        "9", "rescue knows no end",
        "tests/sql/test_rescue.py::test_max_crashes_is_a_setting",
        (ENDS, "and j.crashes + 1 >= max_crashes then 'failed'", "and false then 'failed'"),
    ),
    mutant(
        "10", "rescue goes by another clock than the store's",
        "tests/sql/test_rescue.py::test_the_jobs_of_a_silent_worker_come_back_uncharged",
        (RESCUE, "moment   timestamptz := _howdah.clock();", "moment   timestamptz := pg_catalog.clock_timestamp();"),
    ),
    mutant(
        "11", "rescue waits for a row that somebody holds",
        "tests/sql/test_rescue.py::test_one_held_row_does_not_stop_the_rescue_of_others",
        (RESCUE, "and j.lease = end_lease.lease\n        order by j.id for update skip locked);",
                 "and j.lease = end_lease.lease\n        order by j.id for update);"),
    ),
    mutant(
        "13", "a unique key is free while its job runs",
        "tests/sql/test_unique_keys.py::test_a_key_is_held_in_every_unfinished_state",
        (f"{SQL}/migrations/0004_job.sql", "(unique_key) where unique_key is not null;",
         "(unique_key) where unique_key is not null and state <> 'x';"),
    ),
    mutant(
        "14", "unique by looking first and inserting then",
        "tests/sql/test_unique_keys.py::test_the_loser_gets_the_winners_id_when_the_winner_commits",
        (f"{SQL}/migrations/0004_job.sql", "create unique index job_unique", "create index job_unique"),
        (PUT, MADE, f"              and not exists (select from _howdah.job k where k.unique_key = n.unique_key)\n{MADE}"),
        (ENQUEUE, ONE_OF_A_KEY, f"select j.id into job_id from _howdah.job j where j.unique_key = enqueue.unique_key;\n"
                                f"        if job_id is not null then return job_id; end if;\n        {ONE_OF_A_KEY}"),
    ),
    mutant(
        "15", "a serial key goes by ids, past those of transactions that commit late",
        "tests/sql/test_serial_keys.py::test_an_open_transaction_that_enqueues_holds_up_nobody",
        (ADMIT, NEXT_OF_KEY, f"{NEXT_OF_KEY} and j.id > coalesce(s.holder, '00000000-0000-0000-0000-000000000000')"),
    ),
    mutant(
        "16", "a head that is to be tried again is overtaken",
        "tests/sql/test_serial_keys.py::test_a_failed_head_holds_up_its_key_until_it_is_settled",
        (ADMIT, "state <> 's' or (cursor is not null and on_failure is distinct from 'k')", "state <> 's'"),
    ),
    mutant(
        "25", "what is handed back was charged",
        "tests/sql/test_extend_release.py::test_release_gives_the_job_back_uncharged",
        (ENDS, "judged.released_leases, front => true, uncharge => true", "judged.released_leases, front => true"),
    ),
    mutant(
        "30b", "whoever is told of a job takes it before one of greater priority",
        "tests/sql/test_claim_above.py",
        (f"{FUNCTIONS}/claim_above.sql", "k.priority > claim_above.priority", "false"),
    ),
    # Found by the model, mended, and planted again.
    mutant(
        "31", "a claim of few does not look behind a priority that holds none for it",
        "tests/sql/test_claim_behind_others.py",
        (CLAIM, "if cardinality(picked) < claim.n and", "if false and cardinality(picked) < claim.n and"),
    ),
    mutant(
        "32", "an id that came twice in a batch is answered with a job that is not there",
        "tests/sql/test_given_ids.py",
        (PUT, "elsif not told.is_first then", "elsif false then"),
    ),
)  # fmt: skip
