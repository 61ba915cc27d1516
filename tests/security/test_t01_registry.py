"""T01, T02, T40: a row never becomes code: no import, lookup, evaluation or unpickling of its data.

Beside these: tests/acceptance/test_scenarios.py::test_pj18_a_dotted_path_in_a_row_is_never_imported
and tests/worker/test_outcomes.py::test_an_unknown_task_that_slips_through_goes_back_uncharged.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import howdah
from howdah import App, HowdahError, jobs
from howdah.job import make_options

PACKAGE = Path(howdah.__file__).parent
BANNED_MODULES = {
    "pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle",
    "yaml", "joblib", "multiprocessing", "code", "codeop", "pkg_resources",
}  # fmt: skip
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "entry_points", "find_loader"}
LOOKS_UP = {"import_module", "run_path", "run_module", "getattr", "setattr", "attrgetter"}
# Where a name that is not written in the code is looked up, and whose name that is.
ALLOWED = {
    "__init__.py": "names of the package itself",
    "arguments.py": "fields of msgspec's own description of a type",
    "bench/staff.py": "fields of Settings",
    "cli/config.py": "fields of Settings",
    "cli/lazy.py": "commands from a fixed list",
    "cli/show.py": "fields of a dataclass of ours",
    "connect.py": "constants of the socket module, from a fixed list",
    "django/__init__.py": "names of the package itself",
    "drivers/__init__.py": "drivers from a fixed list",
    "embedded/launch.py": "functions of libc, from a fixed list",
    "job.py": "fields of Options",
    "printable.py": "fields of a struct of ours",
    "parent/messages.py": "errors of ours, told by our own process over a private socket",
    "settings.py": "fields of Settings",
    "source.py": "the app or module that whoever started the worker named",
    "task.py": "fields of Options",
    "worker/connections/__init__.py": "connections from a fixed list",
}


def modules():
    for file in sorted(PACKAGE.rglob("*.py")):
        yield file.relative_to(PACKAGE).as_posix(), ast.parse(file.read_text("utf-8"))


def called(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)


def is_of_a_written_name(call: ast.Call) -> bool:
    place = 0 if called(call) in {"import_module", "run_path", "run_module", "attrgetter"} else 1
    return len(call.args) > place and isinstance(call.args[place], ast.Constant)


def test_t02_nothing_of_ours_imports_what_makes_objects_of_data():
    found = set()
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])

    assert {"msgspec", "json"} <= found
    assert found & BANNED_MODULES == set()


def test_t01_t40_nothing_of_ours_evaluates_text_or_asks_for_plugins():
    found = [
        f"{name}:{node.lineno} {called(node)}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and called(node) in BANNED_CALLS
        and not (isinstance(node.func, ast.Attribute) and called(node) == "compile")  # re.compile
    ]

    assert found == []


def test_t01_a_name_that_is_not_written_in_the_code_is_looked_up_in_few_places_only():
    found = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if called(node) in LOOKS_UP and not is_of_a_written_name(node)
    }

    assert found == set(ALLOWED)


def test_t01_no_module_that_handles_rows_is_among_those_places():
    way = (
        "rows jobs enqueuing isolated foreground worker/attempt worker/judging worker/by_hand "
        "worker/runner worker/fetcher worker/wire"
    )
    on_the_way_of_a_row = {f"{name}.py" for name in way.split()}

    assert on_the_way_of_a_row & set(ALLOWED) == set()
    assert all((PACKAGE / name).exists() for name in on_the_way_of_a_row)


NAMES = [
    "os.system", "builtins.eval", "subprocess:run", "../x", "canary_of_t01", "canary_of_t01.touch",
    "known.__globals__", "known.function", "__main__.App", "howdah.App", "os", "known ", "Known",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_t01_a_hostile_name_imports_and_calls_nothing(app: App, tmp_path, monkeypatch, name):
    (tmp_path / "canary_of_t01.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    ran = []
    app.task(name="known")(lambda: ran.append(1))
    await app.run(jobs.enqueue(howdah.Job(task=name, args="{}")))
    [claimed] = await app.run(jobs.claim(n=1))
    before = {*sys.modules}

    try:
        outcome = await app.perform(claimed)
    except HowdahError as error:
        outcome = error

    assert {*sys.modules} - before <= {name for name in sys.modules if name.startswith("howdah.")}
    assert ran == []
    assert "canary_of_t01" not in sys.modules
    assert "task" in repr(outcome)


async def test_t02_pickles_in_every_text_of_a_row_do_nothing(app: App, tmp_path):
    mark = tmp_path / "mark"
    pickled = f"cos\nsystem\n(S'touch {mark}'\ntR."
    seen = []

    @app.task(name="see")
    async def see(text: str):
        seen.append(text)

    options = make_options(unique_key=pickled, headers={"h": pickled}, tags=[pickled])
    job_id = await app.enqueue(howdah.Job(task="see", args=see.job(pickled).args, options=options))
    async with app.worker():
        await app.result(job_id, timeout=10)

    assert seen == [pickled]
    assert not mark.exists()
