"""The plugin in a test file that gives an app of its own."""

from __future__ import annotations

import os

import pytest

from howdah import App
from howdah.testing import Jobs

app = App("postgresql://nowhere.invalid/production")


@app.task
async def greet(name: str) -> None: ...


@pytest.fixture(scope="session")
def howdah_server() -> str:
    return os.environ["HOWDAH_TEST_SERVER"].replace("DATABASE", "postgres")


@pytest.fixture
def howdah_app() -> App:
    return app


async def test_an_app_that_a_fixture_gives_is_put_on_the_test_s_database(
    jobs: Jobs, howdah_db: str
) -> None:
    await greet.enqueue("ann")

    assert app.settings.database_url == howdah_db
    assert await jobs.run_all() == 1
