"""What later steps of a workflow get of an answer: all that is small, and where the rest is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from howdah.answer import Answer
from howdah.arguments import encode_result
from howdah.errors import HowdahError

LARGEST = 262_144  # bytes of a body that is handed on
LARGEST_HEADERS = 65_536  # bytes; more are not handed on


def handed_on(job_id: UUID, answer: Answer) -> str:
    """The result of a URL job of a workflow, as JSON.

    `status`, `url`, `size`, `headers` (by names in lower case, repeats joined by commas), and the
    body as `json` where its type says so and it is, else as `text` where it is UTF-8. Larger bodies
    and other bytes are only kept with the answers of URL jobs, under `id`.
    """
    told: dict[str, Any] = {
        "id": str(job_id), "status": answer.status, "url": answer.url, "size": len(answer.body),
        "headers": _headers(answer),
    }  # fmt: skip
    if answer.body and len(answer.body) <= LARGEST:
        told |= _body(answer)
    return msgspec.json.encode(told).decode()


def _headers(answer: Answer) -> dict[str, str]:
    if sum(len(name) + len(value) for name, value in answer.headers) > LARGEST_HEADERS:
        return {}
    found: dict[str, str] = {}
    for name, value in answer.headers:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _body(answer: Answer) -> dict[str, Any]:
    kind = (answer.header("content-type") or "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            value = msgspec.json.decode(answer.body)
            return {"json": msgspec.Raw((encode_result("http", value) or "null").encode())}
        except (HowdahError, ValueError, RecursionError):  # none, or not as the store can hold it
            pass
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        return {}
    return {} if "\x00" in text else {"text": text}
