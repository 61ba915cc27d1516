"""A task's arguments: bound by signature, validated by annotations, kept as a JSON object."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

import msgspec

from howdah.errors import BadArguments, TooLarge
from howdah.job import MAX_ARGS, MAX_DEPTH, unstorable

T = TypeVar("T")
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """How one function takes its arguments.

    `bind` gives the JSON of a call, `decode` gives keyword arguments for the function. Both raise
    BadArguments, which names the argument. A parameter annotated with Context is not an argument.
    """

    task: str
    signature: inspect.Signature
    context_name: str | None
    positional: tuple[str, ...]
    by_place: tuple[str, ...]  # those that may be given by their place, in order
    by_name: frozenset[str]  # those that may be given by their name
    decoder: msgspec.json.Decoder[Any]
    names: tuple[str, ...]
    model: type[msgspec.Struct]
    rest: msgspec.json.Decoder[Any] | None  # of what **kwargs take; None: there are none

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The JSON object for a call with these arguments, if the function would take them."""
        values = self._plain_values(args, kwargs)
        if values is None:
            return self._bind_any(args, kwargs)
        text = encode(self.task, values, hook=_to_argument)
        try:
            self.decoder.decode(text)  # which misses what has to be there
        except (msgspec.DecodeError, ValueError, RecursionError, OverflowError):
            return self._bind_any(args, kwargs)
        return text.decode()

    def _plain_values(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The arguments by name, in the signature's order; None where it takes a closer look."""
        if len(args) > len(self.by_place) or not self.by_name.issuperset(kwargs):
            return None
        values = kwargs if not args else dict(zip(self.by_place, args, strict=False), **kwargs)
        if len(values) < len(args) + len(kwargs):  # one is given twice
            return None
        if len(kwargs) > 1:
            return {name: values[name] for name in self.names if name in values}
        return values

    def _bind_any(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """For every signature, and with words for every mistake: three times as slow."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise BadArguments(self.task, str(error)) from error
        values = dict(bound.arguments)
        for parameter in self.signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                rest = values.pop(parameter.name, {})
                if twice := rest.keys() & values.keys():
                    raise BadArguments(self.task, f"{', '.join(twice)}: given twice")
                values.update(rest)
        text = encode(self.task, values, hook=_to_argument)
        self.decode(text)
        return text.decode()

    def bind_around(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], kind: type[T]
    ) -> tuple[str, dict[str, T]]:
        """The JSON of the arguments that are known, and those that are of this kind, by name.

        Nothing is missing and nothing is too much; the types are looked at when all are known.
        """
        try:
            values = dict(self.signature.bind(*args, **kwargs).arguments)
        except TypeError as error:
            raise BadArguments(self.task, str(error)) from error
        later = {name: value for name, value in values.items() if isinstance(value, kind)}
        known = {name: value for name, value in values.items() if name not in later}
        text = encode(self.task, known, hook=_to_argument) if later else b"{}"
        return text.decode(), later

    def decode(self, text: str | bytes) -> dict[str, Any]:
        """Keyword arguments from JSON, each converted to its annotated type."""
        try:
            found = self.decoder.decode(text)
            rest = {} if self.rest is None else self._rest(self.rest, text)
        except (msgspec.DecodeError, ValueError, RecursionError, OverflowError) as error:
            if isinstance(error, BadArguments):
                raise
            raise BadArguments(self.task, _readable(error)) from error
        for name in self.names:
            if (value := getattr(found, name)) is not msgspec.UNSET:
                rest[name] = value
        return rest

    def _rest(self, decoder: msgspec.json.Decoder[Any], text: str | bytes) -> dict[str, Any]:
        """What is given beside the named parameters, for **kwargs."""
        rest = {}
        for name, raw in _PARTS.decode(text).items():
            if name == self.context_name:
                raise BadArguments(self.task, f"{name}: the worker gives it, a caller cannot")
            if name not in self.names:
                try:
                    rest[name] = decoder.decode(raw)
                except (msgspec.DecodeError, ValueError, RecursionError, OverflowError) as error:
                    raise BadArguments(self.task, _readable(error, name)) from error
        return rest

    def call(self, function: Callable[..., Any], given: dict[str, Any]) -> Any:
        """Call the function with decoded arguments, positional-only ones in their place."""
        if not self.positional:
            return function(**given)
        before = [given.pop(name) for name in self.positional if name in given]
        return function(*before, **given)

    def json_schema(self) -> str | None:
        """JSON Schema of the arguments, as text; None where the types have none."""
        try:
            return msgspec.json.encode(msgspec.json.schema(self.model)).decode()
        except (TypeError, ValueError, RecursionError):
            return None


def arguments_of(function: Callable[..., Any], task: str, context: type) -> Arguments:
    """Reads a function's signature; raises BadArguments where it cannot be a task's."""
    signature = inspect.signature(function)
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise BadArguments(task, f"an annotation cannot be resolved: {error}") from error
    fields: list[tuple[str, Any, Any]] = []
    kept, context_name, rest = [], None, None
    for parameter in signature.parameters.values():
        hint = hints.get(parameter.name, Any)
        if hint is context or hint == context | None:
            context_name = parameter.name
            continue
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            raise BadArguments(
                task, f"*{parameter.name} has no names, and arguments travel by name"
            )
        kept.append(parameter)
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            rest = _decoder(hint, task)
        elif parameter.default is inspect.Parameter.empty:
            fields.append((parameter.name, hint, msgspec.NODEFAULT))
        else:
            fields.append((parameter.name, hint, msgspec.UNSET))
    model = msgspec.defstruct(
        "Arguments",
        [_field(*field) for field in fields],
        kw_only=True,
        forbid_unknown_fields=rest is None,
    )
    return Arguments(
        task=task,
        signature=signature.replace(parameters=kept),
        context_name=context_name,
        positional=_of_kind(signature.parameters.values(), inspect.Parameter.POSITIONAL_ONLY),
        by_place=_of_kind(kept, *_BY_PLACE),
        by_name=frozenset(_of_kind(kept, *_BY_NAME)),
        decoder=_decoder(model, task),
        names=tuple(name for name, _, _ in fields),
        model=model,
        rest=rest,
    )


_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _of_kind(parameters: Iterable[inspect.Parameter], *kinds: object) -> tuple[str, ...]:
    return tuple(parameter.name for parameter in parameters if parameter.kind in kinds)


def _field(name: str, hint: Any, default: Any) -> Any:
    return (name, hint) if default is msgspec.NODEFAULT else (name, hint, default)


def _decoder(kind: Any, task: str) -> msgspec.json.Decoder[Any]:
    try:
        return msgspec.json.Decoder(kind, dec_hook=_from_json)
    except TypeError as error:
        raise BadArguments(task, f"its annotations cannot travel as JSON: {error}") from error


def _to_json(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # pydantic
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"a {type(value).__qualname__} is not JSON")


def _to_argument(value: Any) -> Any:
    """As its kind can read it: without what is computed, by aliases where names are not taken."""
    dump = getattr(value, "model_dump", None)
    if not callable(dump):
        return _to_json(value)
    if _holds_secret(dump()):
        raise TypeError("a secret would be kept as stars: give its name, and look it up")
    named = dump(mode="json", round_trip=True)
    with suppress(ValueError):
        _from_json(type(value), named)
        return named
    return dump(mode="json", round_trip=True, by_alias=True)


def _holds_secret(value: Any) -> bool:
    """Whether pydantic's SecretStr is in it, or its kin."""
    if isinstance(value, dict):
        return any(_holds_secret(item) for item in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_holds_secret(item) for item in value)
    return hasattr(value, "get_secret_value")


def _from_json(kind: type, value: Any) -> Any:
    read = getattr(kind, "model_validate_json", None)  # pydantic
    if callable(read):
        text = msgspec.json.encode(value)
        try:
            return read(text)
        except ValueError as error:
            raise ValueError(_without_values(error)) from None
    raise TypeError(f"cannot make a {kind.__qualname__} from JSON")


def _without_values(error: ValueError) -> str:
    """What pydantic finds wrong, and where: it would quote what was given, into errors and logs."""
    listed = getattr(error, "errors", None)
    if not callable(listed):
        return str(error)
    found = listed(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found)


def encode(
    task: str,
    values: Mapping[str, Any],
    *,
    what: str = "arguments",
    deepest: int = MAX_DEPTH,
    hook: Callable[[Any], Any] = _to_json,
) -> bytes:
    """The JSON of named arguments; BadArguments or TooLarge for what the store cannot hold."""
    try:
        text = msgspec.json.encode(values, enc_hook=hook)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise BadArguments(task, _unencodable(values, error, hook)) from error
    if flaw := unstorable(text, values, hook):
        raise BadArguments(task, flaw)
    if len(text) > MAX_ARGS:
        raise TooLarge(
            f"{what} for {task} take {len(text)} bytes, at most {MAX_ARGS} are kept",
            hint="Store the data elsewhere and pass a reference to it.",
        )
    is_long = len(text) > 2 * deepest  # what is nested deeper takes two bytes a level
    if is_long and text.count(b"{") + text.count(b"[") > deepest and _depth(text) > deepest:
        raise TooLarge(f"{what} for {task} are nested more than {MAX_DEPTH} deep")
    return text


def encode_result(task: str, value: Any) -> str | None:
    """The JSON of what a task returned; None for None."""
    if value is None:
        return None
    text = encode(task, {"": value}, what="results", deepest=MAX_DEPTH + 1)
    return text.decode()[4:-1]


def _unencodable(values: Mapping[str, Any], error: Exception, hook: Callable[[Any], Any]) -> str:
    for name, value in values.items():
        try:
            msgspec.json.encode(value, enc_hook=hook)
        except (TypeError, ValueError, RecursionError, OverflowError) as found:
            return f"{name}: {found}" if name else str(found)
    return str(error)


def _readable(error: BaseException, name: str = "") -> str:
    """msgspec's message with `$.user_id` said as the argument's name."""
    message, _, path = str(error).partition(" - at `$")
    path = f"{name}{path.rstrip('`')}".lstrip(".")
    return f"{path}: {message}" if path else message


def _depth(text: bytes) -> int:
    """How deep brackets nest, outside strings."""
    deepest = depth = 0
    for match in re.finditer(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        if match[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in b"]}":
            depth -= 1
    return deepest
