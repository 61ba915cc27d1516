"""Versions of tasks, ranges of them, and which of the declared ones a job gets."""

from __future__ import annotations

import pytest

from howdah import App
from howdah.errors import BadInput, Conflict
from howdah.versions import check_version, fits, named


@pytest.mark.parametrize(
    ("version", "wanted", "is_in"),
    [
        ("2.1", ">=2,<3", True),
        ("2.10", ">2.9", True),
        ("3", ">=2,<3", False),
        ("2.1.0", "!=2.1", False),
        ("2.1", "<=2.1.0", True),
        ("2.1", "2.1", False),
        ("2.1", "", False),
    ],
)
def test_a_version_lies_in_a_range_or_not(version, wanted, is_in):
    assert fits(version, wanted) is is_in


def test_what_a_job_names():
    assert named("mail", "2.1") == "mail@2.1"
    assert named("mail", " >= 2, < 3 ") == "mail@>=2,<3"
    assert named("mail", "2.*") == "mail@>=2,<3"
    assert named("mail", "2.9.*") == "mail@>=2.9,<2.10"
    assert named("mail", "*") == "mail"


@pytest.mark.parametrize("wanted", ["", "two", "1.2.3.4.5", ">=2,", "~2", "1" * 30, 2, "2.*.*"])
def test_what_is_no_range_is_refused(wanted):
    with pytest.raises(BadInput):
        named("mail", wanted)


@pytest.mark.parametrize("version", ["", "v2", "2.", "2.*", 2, "1.2.3.4.5"])
def test_what_is_no_version_is_refused(version):
    with pytest.raises(BadInput):
        check_version(version)


def declare(app, version, name="mail"):
    def mail() -> str:
        return str(version)

    return app.task(name=name, version=version)(mail)


def test_jobs_are_for_the_version_that_made_them_unless_told_otherwise():
    app = App()
    old, new = declare(app, "1.0"), declare(app, "2.1")

    assert (old.job().task, new.job().task) == ("mail@1.0", "mail@2.1")
    assert new.options(version=">=2").job().task == "mail@>=2"
    assert new.options(version="*").options(priority=3).job().task == "mail"


def test_the_newest_version_that_fits_is_found():
    app = App()
    for version in ("1.0", "2.10", "2.9"):
        declare(app, version)

    names = ("mail", "mail@>=2", "mail@<2.10", "mail@1.0")
    assert [app.tasks.get(name).version for name in names] == ["2.10", "2.10", "2.9", "1.0"]
    assert app.tasks.get("mail@3") is None
    assert app.tasks.get("mail@>2.10") is None


def test_a_task_without_a_version_stands_beside_those_with_one():
    app = App()
    declare(app, "1.0")
    plain = declare(app, None)
    declare(app, "3.0")

    assert app.tasks.get("mail") is plain
    with pytest.raises(Conflict):
        declare(app, "1.0")
    with pytest.raises(BadInput):
        declare(app, "1.0", name="mail@1.0")
