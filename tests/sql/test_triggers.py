"""A trigger on a user's table enqueues: rolled back, no job; committed, one."""

from __future__ import annotations

import psycopg
import pytest

TABLE = """
create table public.welcome (id int primary key, email text);
create function public.welcome_new() returns trigger language plpgsql as $$
begin
    perform howdah.enqueue('mail.welcome', jsonb_build_object('id', new.id),
        unique_key => 'w' || new.id);
    return new;
end $$;
"""
PLAIN = (
    "create trigger t after insert on public.welcome"
    " for each row execute function public.welcome_new()"
)
DEFERRED = (
    "create constraint trigger t after insert on public.welcome deferrable initially deferred"
    " for each row execute function public.welcome_new()"
)


@pytest.fixture(params=[PLAIN, DEFERRED], ids=["plain", "deferred"])
def welcome(door, request):
    door.rows(TABLE + request.param)
    yield
    door.rows("drop table public.welcome; drop function public.welcome_new()")


@pytest.mark.usefixtures("welcome")
def test_a_committed_row_makes_one_job(door):
    door.rows("insert into public.welcome values (1, 'a@example.org')")

    assert door.take().args == {"id": 1}
    assert door.claim() == []


@pytest.mark.usefixtures("welcome")
def test_a_rolled_back_row_makes_none(door):
    door.rows("begin")
    door.rows("insert into public.welcome values (1, 'a@example.org')")
    door.rows("rollback")

    assert door.counts() == (0, 0)


@pytest.mark.usefixtures("welcome")
def test_a_statement_of_many_rows_makes_many_jobs_in_order(door):
    door.rows("insert into public.welcome select n, 'x' from generate_series(1, 30) n")

    assert [job.args["id"] for job in door.claim(40)] == [*range(1, 31)]


@pytest.mark.usefixtures("welcome")
def test_a_row_that_fails_takes_the_jobs_of_its_statement_with_it(door):
    door.rows("insert into public.welcome values (2, 'x')")
    door.take()

    with pytest.raises(psycopg.errors.UniqueViolation):
        door.rows("insert into public.welcome values (1, 'x'), (2, 'x')")

    assert door.claim() == []
