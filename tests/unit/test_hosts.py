"""Which hosts a URL names."""

from __future__ import annotations

import pytest

from howdah.errors import BadInput
from howdah.hosts import for_asyncpg, names_a_role, several_hosts


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u@h1,h2/db", [("h1", None), ("h2", None)]),
        ("postgresql://u:p%40s@h1:1,h2:2/db", [("h1", 1), ("h2", 2)]),
        ("postgresql://u:a,b@h1/db", []),
        ("postgresql://h1:1,h2/db?port=7", [("h1", 1), ("h2", 7)]),
        ("postgresql://[::1]:1,[fe80::2]/db", [("::1", 1), ("fe80::2", None)]),
        ("postgresql://u@/db?host=/tmp/a,/tmp/b&port=5,6", [("/tmp/a", 5), ("/tmp/b", 6)]),
        ("postgresql://u@/db?host=/tmp/a,h2&port=5", [("/tmp/a", 5), ("h2", 5)]),
        ("postgresql://u@h1/db", []),
        ("postgresql:///db?host=/tmp/a", []),
        ("postgresql://", []),
    ],
)
def test_several_hosts_are_read_one_by_one(url: str, hosts: list[tuple[str, int | None]]) -> None:
    assert several_hosts(url, {}) == hosts


def test_where_the_url_names_none_the_environment_does() -> None:
    environ = {"PGHOST": "h1,h2", "PGPORT": "1,2"}

    assert several_hosts("postgresql://", environ) == [("h1", 1), ("h2", 2)]
    assert several_hosts("postgresql://h/db", environ) == []
    assert several_hosts("postgresql:///?service=s", environ) == []


def test_the_url_or_the_environment_may_say_which_host_will_do() -> None:
    assert names_a_role("postgresql://h1,h2/db?target_session_attrs=any", {})
    assert names_a_role("postgresql://h1,h2/db", {"PGTARGETSESSIONATTRS": "any"})
    assert not names_a_role("postgresql://h1,h2/db", {})


def test_what_only_libpq_understands_is_not_sent_to_the_server() -> None:
    url = "postgresql://u@h/db?connect_timeout=5&sslmode=require&channel_binding=prefer"

    assert for_asyncpg(url) == "postgresql://u@h/db?sslmode=require"
    assert for_asyncpg("postgresql://u@h/db?keepalives=1") == "postgresql://u@h/db"


def test_what_keeps_a_connection_safe_is_not_left_out_in_silence() -> None:
    with pytest.raises(BadInput, match="channel_binding=require") as refused:
        for_asyncpg("postgresql://u@h/db?sslmode=require&channel_binding=require")

    assert "verify-full" in str(refused.value.hint)
