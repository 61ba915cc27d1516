"""The harness of `make bench-peers`: order, medians, what is written. Its run is `make` itself."""

from __future__ import annotations

import importlib
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def harness():
    """Its modules by name, as `make bench-peers` finds them."""
    sys.path.insert(0, str(BENCHMARKS))
    yield lambda name: importlib.import_module(f"harness.{name}")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def document(harness):
    """A run in which one peer was skipped, and one did not end in time."""
    return {
        "date": "2026-01-01T00:00+00:00",
        "quick": False,
        "rounds": 3,
        "surroundings": {
            "versions": {"postgresql": "18.6"},
            "server": {"fsync": "on", "shared_buffers": "1GB", "shared_preload_libraries": ""},
            "machine": {"system": "Linux", "cores": 2},
            "load": 0.1,
        },
        "peers": {
            name: {"versions": {name: "1.0"}, "history": "keeps", "best": "b", "default": "d"}
            for name in ("howdah", "slow<er")
        },
        "skipped": {"gone": "no network"},
        "failures": ["slow<er, best, one, round 2: it ended"],
        "results": {
            "best": {
                "slow<er": {"drain1": 100.0, "drained_share": 0.5},
                "howdah": {"drain1": 60123.4, "p50": 1.0, "p95": 2.0, "p99": 3.0, "held": 0.987},
            },
            "default": {"howdah": {"drain1": 50000.0}, "slow<er": {"drain1": 0.512}},
        },
    }


def test_contenders_take_turns_within_each_test(harness):
    plan = harness("plan")
    a, b = plan.Contender("a", "best"), plan.Contender("b", "best")

    order = [(t.round, t.test, t.contender.peer) for t in plan.turns(["x", "y"], [a, b], 2)]

    assert order == [
        (1, "x", "a"), (1, "x", "b"), (1, "y", "a"), (1, "y", "b"),
        (2, "x", "a"), (2, "x", "b"), (2, "y", "a"), (2, "y", "b"),
    ]  # fmt: skip


def test_medians_are_over_the_rounds_that_found_a_figure(harness):
    rounds = [{"one": 3.0}, {"one": 1.0}, {"one": 2.0, "p50": 7.0}, {"p50": None}]

    assert harness("plan").medians(rounds) == {"one": 2.0, "p50": 7.0}


def test_every_peer_says_all_that_is_needed_and_has_an_adapter(harness):
    for name, peer in harness("plan").peers().items():
        suffix = ".cjs" if peer["kind"] == "node" else "_adapter.py"
        stem = name if peer["kind"] == "node" else name.replace("-", "_")
        assert (BENCHMARKS / "adapters" / f"{stem}{suffix}").is_file()
        assert {"packages", "history", "best", "default", "pending"} <= set(peer)
        assert set(peer["jobs"]) == set(harness("plan").COLUMNS)


def test_the_tables_have_the_fastest_first_and_name_what_is_missing(harness, document):
    text = harness("report").markdown(document)

    rows = [line for line in text.splitlines() if line.startswith("| ") and "/s" not in line]
    assert [row.split("|")[1].strip() for row in rows] == [
        "howdah",
        "slow<er †",
        "howdah",
        "slow<er",
    ]
    assert "| 60,123 |" in rows[0]
    assert "| 1.0 / 2.0 / 3.0 |" in rows[0]
    assert "| 0.99 |" in rows[0]
    assert "**gone was skipped**: no network" in text
    assert "slow<er, best, one, round 2: it ended" in text
    assert "fsync on, shared_buffers 1GB)" in text
    assert "did not end in the time given" in text


def test_a_quick_run_says_that_its_figures_mean_nothing(harness, document):
    assert "mean nothing" not in harness("report").markdown(document)
    assert "mean nothing" in harness("report").markdown({**document, "quick": True})


def test_the_chart_is_svg_with_bars_as_long_as_the_rates(harness, document):
    root = ElementTree.fromstring(harness("report").chart(document))

    svg = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.get("width")) for bar in root.iter(f"{svg}rect")]
    texts = [text.text for text in root.iter(f"{svg}text")]
    assert widths[1] / widths[0] == pytest.approx(50000 / 60123.4, abs=0.001)
    assert widths[2] == pytest.approx(max(1, widths[0] * 100 / 60123.4), abs=0.1)
    assert {"60,123", "0.512"} <= set(texts)
    assert "slow<er" in texts


def test_a_peer_that_cannot_be_installed_is_skipped_with_the_reason(harness, tmp_path, monkeypatch):
    install = harness("install")
    monkeypatch.setenv("HOWDAH_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(install.CannotInstall, match=r"no Python 9\.0"):
        install.install("nobody", {"kind": "python", "packages": ["x"], "minimum": [9, 0]})
    with pytest.raises(install.CannotInstall, match="node and npm"):
        install.install("nobody", {"kind": "node", "packages": ["x"]})


def test_what_the_installer_said_is_the_reason(harness, tmp_path, monkeypatch):
    install = harness("install")
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'no such package' >&2; exit 1\n")
    npm.chmod(0o755)
    (tmp_path / "node").symlink_to(npm)
    monkeypatch.setenv("HOWDAH_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    with pytest.raises(install.CannotInstall, match="no such package"):
        install.install("nobody", {"kind": "node", "packages": ["x"]})


def test_an_adapter_that_breaks_is_told_with_its_last_words(harness):
    adapter, install = harness("adapter"), harness("install")
    program = (sys.executable, "-c", "import sys; sys.exit('no such thing')")
    broken = install.Installed(program, {}, {})

    with (
        adapter.Adapter(broken, "best", "client", {}) as process,
        pytest.raises(adapter.Broke, match="no such thing"),
    ):
        process.hear(10)
