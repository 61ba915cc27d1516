"""Who may do what: exactly these functions and views, for four kinds of role."""

from __future__ import annotations

from collections.abc import Iterator

from howdah.errors import BadInput

_EVERYONE = ("schema_version", "channel")
_LOOK = (
    "why", "backlog", "cursor", "outcome", "list_jobs", "list_end", "ids_ending", "watch",
    "http_targets",
)  # fmt: skip
_VIEWS = (
    "jobs", "ready", "scheduled", "running", "expired", "failed", "attempts", "queues", "workers",
    "tasks", "settings", "cursors", "limits", "schedules", "ticks", "listeners", "http_jobs",
    "http_responses", "http_allowed", "workflows", "steps", "pipelines",
)  # fmt: skip
# Functions inside a view run with the rights of whoever selects from it.
_VIEW_HELPERS = (
    "clock", "state_name", "delivery_name", "timeout_span", "ready_queues", "oldest", "count_ready",
    "count_scheduled", "count_failed", "count_waiting", "count_blocked", "blocked_queues",
    "most_of", "rate_of", "unserved", "workflow_percent",
)  # fmt: skip

FUNCTIONS = {
    "producer": (
        "enqueue", "enqueue_many", "enqueue_json", "enqueue_alike", "enqueue_batch",
        "enqueue_unique", "outcome", "emit", "http", "http_answer",
        "start_workflow", "add_to_workflow",
        "start_request(jsonb, jsonb, int, text)", "start_request(text[], jsonb, int, text)",
        "start_request(text, jsonb, int, text)", "add_to_request",
    ),
    "worker": (
        "claim", "claim_above", "ack", "nack", "finish", "extend", "release", "heartbeat",
        "heartbeats", "leave", "progress", "note_progress", "rescue", "stage", "chores",
        "declare_tasks", "admit", "outcome", "backlog", "due_schedules", "fire", "fail_schedule",
        "declare_schedules", "declare_listeners", "emit", "finish_http", "http_targets",
    ),
    "viewer": _LOOK,
    "operator": (
        *_LOOK, "cancel", "retry", "run_now", "delete", "pause", "resume", "put_queue", "drain",
        "kill", "put_limit", "put_rate", "put_share", "set_cursor", "put_schedule",
        "pause_schedule", "resume_schedule", "run_schedule", "delete_schedule", "put_listener",
        "pause_listener", "resume_listener", "delete_listener", "http_allow", "http_disallow",
        "http_answer",
        "cancel_workflow", "retry_workflow", "rank_workflow", "put_pipeline", "delete_pipeline",
    ),
}  # fmt: skip


def check_kind(kind: str) -> str:
    """The kind, if it is one."""
    if kind not in FUNCTIONS:
        raise BadInput(f"{kind!r} is no kind of role", hint=f"Kinds are {', '.join(FUNCTIONS)}.")
    return kind


def grant_statements(role: str, kind: str) -> Iterator[str]:
    """The statements that give a role what its kind needs, and no more. Idempotent."""
    quoted = '"' + role.replace('"', '""') + '"'
    yield f"grant usage on schema {{schema}} to {quoted}"
    for function in (*FUNCTIONS[check_kind(kind)], *_EVERYONE):
        yield f"grant execute on function {{schema}}.{function} to {quoted}"
    if kind == "producer":
        yield f"grant insert on {{schema}}.jobs, {{schema}}.http_jobs to {quoted}"
    if kind in {"viewer", "operator"}:
        yield f"grant select on {', '.join('{schema}.' + view for view in _VIEWS)} to {quoted}"
        for function in _VIEW_HELPERS:
            yield f"grant execute on function _{{schema}}.{function} to {quoted}"
