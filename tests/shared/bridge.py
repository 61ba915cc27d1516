"""A bridge that speaks PostgREST's request shape; a request names its role."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlsplit
from urllib.request import Request, urlopen

import psycopg
from psycopg import sql

OPERATORS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "neq": "<>"}
STATUS = {"42501": 403, "42883": 404, "42P01": 404, "23505": 409, "25006": 405}
SIGNATURES = """
select p.oid::regprocedure::text, p.proretset, t.typtype = 'c' or p.proargmodes is not null,
       p.prorettype = 'void'::regtype,
       coalesce(p.proargnames, '{}'), p.pronargs, p.pronargdefaults,
       array(select format_type(a, null) from unnest(p.proargtypes) a)
from pg_proc p join pg_type t on t.oid = p.prorettype
where p.pronamespace = %s::regnamespace and p.proname = %s
"""


class Refused(Exception):
    """What the bridge itself finds wrong, as PostgREST would say it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.said = status, {"code": code, "message": message}


class Bridge(BaseHTTPRequestHandler):
    """One request, one transaction, `set role` first; as https://docs.postgrest.org has it."""

    dsn = ""
    schema = "howdah"

    def do_POST(self) -> None:
        self._answered(self._call if self.path.startswith("/rpc/") else self._insert)

    def do_GET(self) -> None:
        self._answered(self._select)

    def do_PATCH(self) -> None:
        self._answered(self._update)

    def do_DELETE(self) -> None:
        self._answered(self._delete)

    def _answered(self, answer: Any) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        role = self.headers["Authorization"].removeprefix("Bearer ")
        try:
            with psycopg.connect(self.dsn) as connection:
                connection.execute("select set_config('role', %s, true)", (role,))
                status, found = answer(connection, body)
        except Refused as error:
            status, found = error.status, error.said
        except psycopg.Error as error:
            diag = error.diag
            status = STATUS.get(error.sqlstate or "", 400)
            found = {
                "code": error.sqlstate,
                "message": diag.message_primary,
                "details": diag.message_detail,
                "hint": diag.message_hint,
            }
        self._send(status, found)

    def _call(self, connection: Any, body: dict[str, Any]) -> tuple[int, Any]:
        """Named arguments from a JSON object, by json_to_record with the parameters' types."""
        name = urlsplit(self.path).path.removeprefix("/rpc/")
        found = connection.execute(SIGNATURES, (self.schema, name)).fetchall()
        fits = [each for each in found if _fits(each, body)]
        if len(fits) != 1:
            code = "PGRST202" if not fits else "PGRST203"
            raise Refused(404 if not fits else 300, code, f"no function {name}({', '.join(body)})")
        _, is_set, is_record, is_void, names, _, _, types = fits[0]
        typed = dict(zip(names, types, strict=False))
        given = sql.SQL(", ").join(
            sql.SQL("{} := body.{}").format(sql.Identifier(key), sql.Identifier(key))
            for key in body
        )
        columns = sql.SQL(", ").join(
            sql.SQL("{} " + typed[key]).format(sql.Identifier(key)) for key in body
        )
        source = sql.SQL(
            "(select * from json_to_record(%s::json) as _ ({}) limit 1) body, lateral "
        )
        statement = sql.SQL("select {} from {}{}({}) answer").format(
            sql.SQL(
                "coalesce(json_agg(answer), '[]')" if is_record else "json_agg(to_json(answer))"
            ),
            source.format(columns) if body else sql.SQL(""),
            sql.Identifier(self.schema, name),
            given,
        )
        row = connection.execute(statement, (json.dumps(body),) if body else ()).fetchone()
        if is_void:
            return 204, None
        return 200, row[0] if is_set else row[0][0]

    def _select(self, connection: Any, _: Any) -> tuple[int, Any]:
        """Filters such as state=eq.ready, order=created_at.desc, select=, limit=, offset=."""
        parts = urlsplit(self.path)
        asked = dict(parse_qsl(parts.query))
        columns = asked.pop("select", "*")
        order, limit, offset = (
            asked.pop("order", ""),
            asked.pop("limit", None),
            asked.pop("offset", 0),
        )
        shown = sql.SQL("*")
        if columns != "*":
            shown = sql.SQL(", ").join(map(sql.Identifier, columns.split(",")))
        statement = sql.SQL("select {} from {}").format(
            shown, sql.Identifier(self.schema, parts.path[1:])
        )
        conditions, values = _conditions(asked)
        statement += conditions
        if order:
            column, _, way = order.partition(".")
            statement += sql.SQL(" order by {} " + ("desc" if way == "desc" else "asc")).format(
                sql.Identifier(column)
            )
        statement += sql.SQL(" limit %s offset %s")
        whole = sql.SQL("select coalesce(json_agg(row), '[]') from ({}) row").format(statement)
        return 200, connection.execute(whole, (*values, limit, offset)).fetchone()[0]

    def _insert(self, connection: Any, body: dict[str, Any]) -> tuple[int, Any]:
        """Only the columns that the body has, by json_populate_recordset."""
        view = sql.Identifier(self.schema, urlsplit(self.path).path[1:])
        columns = sql.SQL(", ").join(map(sql.Identifier, body))
        statement = sql.SQL(
            "insert into {0} ({1}) select {1} from json_populate_recordset(null::{0}, %s)"
        ).format(view, columns)
        connection.execute(statement, (json.dumps([body]),))
        return 201, None

    def _update(self, connection: Any, body: dict[str, Any]) -> tuple[int, Any]:
        parts = urlsplit(self.path)
        conditions, values = _conditions(dict(parse_qsl(parts.query)))
        changes = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(key)) for key in body)
        view = sql.Identifier(self.schema, parts.path[1:])
        statement = sql.SQL("update {} set {}").format(view, changes) + conditions
        connection.execute(statement, (*body.values(), *values))
        return 204, None

    def _delete(self, connection: Any, _: Any) -> tuple[int, Any]:
        parts = urlsplit(self.path)
        conditions, values = _conditions(dict(parse_qsl(parts.query)))
        view = sql.Identifier(self.schema, parts.path[1:])
        connection.execute(sql.SQL("delete from {}").format(view) + conditions, values)
        return 204, None

    def _send(self, status: int, found: Any) -> None:
        body = b"" if found is None else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quietly."""


def _fits(signature: Any, body: dict[str, Any]) -> bool:
    """All that is given is known by name, and all that has no default is given."""
    names = signature[4][: signature[5]]
    needed = names[: signature[5] - signature[6]]
    return all(names) and {*body} <= {*names} and {*needed} <= {*body}


def _conditions(asked: dict[str, str]) -> tuple[sql.Composed, list[Any]]:
    parts, values = [], []
    for column, said in asked.items():
        operator, _, value = said.partition(".")
        if operator == "is":
            parts.append(sql.SQL("{} is null").format(sql.Identifier(column)))
        elif operator == "cs":
            parts.append(sql.SQL("{} @> %s").format(sql.Identifier(column)))
            values.append(value)
        else:
            parts.append(
                sql.SQL("{} " + OPERATORS[operator] + " %s").format(sql.Identifier(column))
            )
            values.append(value)
    if not parts:
        return sql.SQL("").format(), values
    return sql.SQL(" where ") + sql.SQL(" and ").join(parts), values


class Api:
    """`api.as_("web").post("/rpc/enqueue", task="t")` gives the status and what was said."""

    def __init__(self, port: int, roles: dict[str, str]) -> None:
        self._port, self._roles, self._role = port, roles, ""

    def as_(self, role: str) -> Api:
        other = Api(self._port, self._roles)
        other._role = self._roles[role]
        return other

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        return self.ask("POST", path, body)

    def get(self, path: str) -> tuple[int, Any]:
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._role}", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self._port}{path}"
        try:
            with urlopen(Request(url, data, headers, method=method)) as answer:
                status, said = answer.status, answer.read()
        except HTTPError as error:
            with error:
                status, said = error.code, error.read()
        return status, json.loads(said) if said else None


@contextmanager
def serving() -> Iterator[int]:
    """The bridge, on `Bridge.dsn`; gives its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bridge)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
