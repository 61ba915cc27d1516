"""Defects planted in the worker's loops, the client and the listener."""

from __future__ import annotations

from mutants.mutant import mutant

WORKER = "src/howdah/worker"
FINISHED = """    refused = await hold.transaction.run(jobs.finish_one(outcome))
    if not refused:
        await hold.transaction.commit()
    return refused
"""
ANSWERED = "self._connection, call.render(self._settings.schema), call.values, timeout=timeout"
HEARD = """                connection = await self._connect()
                self.up.set()
                self._gap()
"""
LISTENED = "await connection.add_listener(channel, lambda *event: self._heard(event[3]))"
ENQUEUED = "rows = await pool.fetch(call.render(self.settings.schema), call.values)\n        except (OSError"
AGAIN = """rows = await pool.fetch(call.render(self.settings.schema), call.values)
        except ConnectionResetError:
            return await self.run(call)
        except (OSError"""

MUTANTS = (
    mutant(
        "7", "the effect of a transactional task is committed before the finish",
        "tests/worker/test_transactional.py::test_an_attempt_whose_lease_was_taken_rolls_back_and_the_next_one_counts",
        (f"{WORKER}/transactions.py", FINISHED,
         "    await hold.transaction.commit()\n    return await hold.transaction.run(jobs.finish_one(outcome))\n"),
    ),
    mutant(
        "12", "what a chore fails of is swallowed",
        "tests/worker/outages/test_short_outages.py::test_a_function_taken_back_from_a_running_worker_is_said_in_the_log_and_waited_for",
        (f"{WORKER}/chores.py",
         "        await patience.until_done(lambda: link.run(store.chores(*names), timeout=longest))\n",
         "        try:\n            await link.run(store.chores(*names), timeout=longest)\n"
         "        except Exception:\n            pass\n"),
    ),
    mutant(
        "19", "LISTEN is said once and never again",
        "tests/worker/outages/test_short_outages.py::test_a_listener_whose_backend_was_killed_hears_again",
        ("src/howdah/listener.py", LISTENED,
         f"if not hasattr(self, '_once'):\n                self._once = {LISTENED}"),
    ),
    mutant(
        "20", "the state is read before LISTEN",
        "tests/worker/test_listening.py::test_whoever_looks_when_told_of_a_gap_misses_nothing_that_comes_after",
        ("src/howdah/listener.py", HEARD,
         "                self._gap()\n                connection = await self._connect()\n                self.up.set()\n"),
    ),
    mutant(
        "21", "a loop gives up after so many errors",
        "tests/worker/test_outages.py::test_an_outage_of_hours_ends_no_loop",
        (f"{WORKER}/link.py", "        if not self._waits_for(error):", "        if tries > 100 or not self._waits_for(error):"),
    ),
    mutant(
        "22", "an answer is waited for without end",
        "tests/worker/test_listening.py::test_a_call_that_is_not_answered_is_given_up_and_its_connection_with_it",
        (f"{WORKER}/link.py", ANSWERED, ANSWERED.replace("timeout=timeout", "timeout=None")),
        ("src/howdah/connect.py", '"command_timeout": answer_within,', '"command_timeout": None,'),
    ),
    mutant(
        "23", "signals are heard only once the children work",
        "tests/parent/test_stopping_parents.py::test_while_the_app_is_loading_a_question_is_no_order_and_an_order_is_heard",
        ("src/howdah/parent/__init__.py", "        self._catch_signals()\n",
         "        asyncio.get_running_loop().call_later(3, self._catch_signals)\n"),
    ),
    mutant(
        "24", "what was claimed and not started is kept until the end",
        "tests/worker/test_stopping.py::test_a_busy_worker_ends_what_runs_and_hands_back_the_rest_at_once",
        (f"{WORKER}/runner.py", "            self._finisher.put(Released(id=job.id, lease=job.lease, reason=\"released\"))",
         "            pass"),
    ),
    mutant(
        "26", "of a batch that the store refuses all but the first are dropped",
        "tests/worker/test_outcomes.py::test_one_bad_outcome_does_not_hold_up_the_batch_it_is_in",
        (f"{WORKER}/finisher.py", "[refused for outcome in batch for refused", "[refused for outcome in batch[:1] for refused"),
    ),
    mutant(
        "26b", "what is busy is dropped",
        "tests/worker/test_outages.py::test_a_locked_row_holds_up_itself_and_no_other",
        (f"{WORKER}/finisher.py", "        self._waiting += rest  # counted as open until they are stored\n", ""),
    ),
    mutant(
        "27", "an enqueue whose answer was lost is repeated, without an id to know it by",
        "tests/client/test_lost_answers.py::test_it_is_not_repeated_behind_the_callers_back",
        ("src/howdah/client.py", ENQUEUED, AGAIN),
    ),
    mutant(
        "29", "a NUL in an error text goes to the store",
        "tests/worker/test_outcomes.py::test_whatever_a_task_raises_fails_its_own_job_only[nul-coroutine]",
        ("src/howdah/jobs.py", 'text.replace("\\x00", "\\ufffd").encode(', "text.encode("),
    ),
    mutant(
        "30", "a batch is decoded as a whole",
        "tests/worker/test_hostile_rows.py::test_each_hostile_row_fails_alone_and_the_others_of_its_batch_succeed",
        ("src/howdah/jobs.py", "    return [Claimed(*row) for row in claimed], news[_ARGS]",
         "    [msgspec.json.decode(row[_ARGS]) for row in claimed]\n    return [Claimed(*row) for row in claimed], news[_ARGS]"),
    ),
)  # fmt: skip
