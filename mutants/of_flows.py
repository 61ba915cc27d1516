"""Defects planted in what makes jobs: schedules, and workflows."""

from __future__ import annotations

from mutants.mutant import FUNCTIONS, SQL, mutant

FIRE, ADVANCE = f"{FUNCTIONS}/fire.sql", f"{FUNCTIONS}/advance.sql"
START, EDGES = f"{FUNCTIONS}/start_workflow.sql", f"{FUNCTIONS}/edges.sql"
HEARD = "tests/model/test_flow_model.py::test_whoever_waits_hears_of_each_end_what_the_model_says"
COMPARED = "and s.revision = fire.revision and s.handled = fire.handled and not s.paused\n    for update skip locked;"
INSERTED = "values (fire.name, due, _howdah.clock()) on conflict do nothing;\n        continue when not found;"
LOOKED = ("select fire.name, due, _howdah.clock()\n        where not exists"
          " (select from _howdah.tick t where t.schedule = fire.name and t.tick = due);\n"
          "        continue when not found;")  # fmt: skip
# A sequence for each step, which no rollback sets back: what it counted beyond what is known is told.
COUNTERS = """
create or replace function _howdah.put_counters(steps uuid[]) returns void language plpgsql volatile as $$
begin
    for n in 1..coalesce(cardinality(steps), 0) loop
        execute format('create sequence _howdah.%I', 'c' || steps[n]);
    end loop;
end $$;

create or replace function _howdah.counted(step uuid, n bigint) returns int language plpgsql volatile as $$
declare
    reached  bigint;
begin
    for k in 1..n loop
        execute format('select nextval(%L)', format('_howdah.%I', 'c' || step)) into reached;
    end loop;
    return reached - coalesce((select sum(t.n) from _howdah.tally t where t.step = counted.step), 0)
        - (select s.succeeded + s.failed + s.cancelled from _howdah.step s where s.id = counted.step);
end $$;

-- Advances these workflows, a bounded part"""

MUTANTS = (
    mutant(
        "17", "whether a tick was fired is looked up first, and noted then",
        "tests/sql/test_schedules.py::test_a_tick_that_an_open_transaction_fires_is_left_to_it",
        (FIRE, COMPARED, "and not s.paused;"), (FIRE, INSERTED, LOOKED),
        (f"{SQL}/migrations/0019_schedules.sql", "    primary key (schedule, tick)\n", "    check (true)\n"),
    ),
    mutant(
        "17b", "a tick is fired by whoever comes, whatever was fired since he looked",
        "tests/sql/test_schedules.py::test_a_tick_is_fired_once_whoever_else_has_worked_it_out",
        (FIRE, "and s.revision = fire.revision and s.handled = fire.handled and not s.paused", "and not s.paused"),
        (FIRE, INSERTED, "values (fire.name, due, _howdah.clock());"),
        (f"{SQL}/migrations/0019_schedules.sql", "    primary key (schedule, tick)\n", "    check (true)\n"),
    ),
    mutant(
        "18", "what is due follows from the clock of whoever fires",
        "tests/sql/test_schedules.py::test_a_schedule_makes_a_job_of_each_tick",
        ("src/howdah/firing.py", "    of = rule(due.kind,",
         "    import msgspec\n    from datetime import UTC\n"
         "    due = msgspec.structs.replace(due, moment=datetime.now(UTC))\n    of = rule(due.kind,"),
    ),
    mutant(
        "28", "ends are counted beside the transaction in which they are made",
        "tests/sql/test_workflows.py::test_an_end_that_is_rolled_back_is_not_counted",
        (ADVANCE, "select s.workflow, c.step, end_members.state, c.n from", "select s.workflow, c.step, end_members.state, _howdah.counted(c.step, c.n) from"),
        (ADVANCE, "\n-- Advances these workflows, a bounded part", COUNTERS),
        (START, "select array_agg(p.id) into made from put p;", "select array_agg(p.id) into made from put p;\n    perform _howdah.put_counters(made);"),
    ),
    mutant(
        "28b", "what was counted stays, and is counted again",
        "tests/sql/test_workflows.py::test_r_27_a_result_is_recorded_once_and_a_step_ends_with_the_last_of_its_jobs",
        (ADVANCE, "delete from _howdah.tally t where t.workflow = flow returning t.step, t.state, t.n",
                  "select t.step, t.state, t.n from _howdah.tally t where t.workflow = flow"),
    ),
    mutant(
        "28c",
        "what comes while somebody adds up is left to nobody",
        "tests/sql/test_workflows.py::test_ends_that_somebody_else_may_be_adding_up_are_added_up_once_he_is_done",
        (ADVANCE, "        elsif exists (select from _howdah.workflow w where w.id = flow) then\n"
                  "            perform _howdah.note_later('w', array[flow::text]);\n", ""),
    ),
    mutant(
        "28d", "an end leaves no note where one of its workflow lies, which somebody may be taking",
        "tests/sql/test_workflows.py::test_an_end_that_comes_while_somebody_adds_up_another_is_added_up_too",
        (ADVANCE, "from told t group by", "from told t where not exists (select from _howdah.pending p"
                  " where p.kind = 'w' and p.key = t.workflow::text) group by"),
    ),
    mutant(
        "28e", "a bad end that a job is to ignore counts like any other",
        HEARD,
        (EDGES, "filter (where o.state = 'S' or o.policy = 'i') as good", "filter (where o.state = 'S') as good"),
        (EDGES, "array_agg(o.row) filter (where o.state <> 'S' and o.policy <> 'i')", "array_agg(o.row) filter (where o.state <> 'S')"),
        (EDGES, "array_agg(o.state) filter (where o.state <> 'S' and o.policy <> 'i')", "array_agg(o.state) filter (where o.state <> 'S')"),
    ),
    mutant(
        "28f", "a bad end that a step is to ignore counts like any other",
        HEARD,
        (ADVANCE, "and e.state <> 'S' and e.policy <> 'i'\n", "and e.state <> 'S'\n"),
    ),
    mutant(
        "28g", "a bad end that all after it ignore fails the workflow",
        HEARD,
        (ADVANCE, "e.parent = s.id and e.policy <> 'i')", "e.parent = s.id)"),
    ),
)  # fmt: skip
