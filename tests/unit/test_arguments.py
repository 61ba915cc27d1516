"""A task's arguments: bound by its signature, validated by its annotations, kept as JSON."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, SecretStr, computed_field
from pydantic.alias_generators import to_camel

from howdah import BadArguments, Context, TooLarge
from howdah.arguments import Arguments, arguments_of, encode, encode_result


def of(function: Callable[..., Any]) -> Arguments:
    return arguments_of(function, "the.task", Context)


def sent(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What the function gets after its arguments have travelled."""
    arguments = of(function)
    return arguments.call(function, arguments.decode(arguments.bind(args, kwargs)))


@dataclass
class Address:
    street: str
    number: int = 1
    lines: list[str] = field(default_factory=list)


class Colour(Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: float
    y: float


class Model(BaseModel):
    name: str


class Aliased(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    first_name: str


class Computing(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    at: datetime

    @computed_field  # type: ignore[prop-decorator]
    @property
    def year(self) -> int:
        return self.at.year


class Hiding(BaseModel):
    token: SecretStr


def test_positional_arguments_are_kept_by_their_names() -> None:
    def task(user_id: int, *, lang: str = "en") -> None: ...

    assert json.loads(of(task).bind((42,), {"lang": "mi"})) == {"user_id": 42, "lang": "mi"}
    assert json.loads(of(task).bind((42,), {})) == {"user_id": 42}


def test_a_default_is_the_functions_own_at_the_time_it_runs() -> None:
    def task(user_id: int, lang: str = "en", tags: list[str] = []) -> tuple[Any, ...]:  # noqa: B006
        return user_id, lang, tags

    assert sent(task, 1) == (1, "en", [])
    assert of(task).decode('{"user_id": 1}') == {"user_id": 1}


def test_none_is_kept_apart_from_not_given() -> None:
    def task(limit: int | None = 5) -> int | None:
        return limit

    assert sent(task) == 5
    assert sent(task, None) is None


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((), {}, "user_id"),
        ((1, 2), {}, "too many positional"),
        ((1,), {"colour": "red"}, "colour"),
        (("x",), {}, "user_id"),
        ((1,), {"lang": 3}, "lang"),
        ((None,), {}, "user_id"),
        ((1.5,), {}, "user_id"),
        ((True,), {}, "user_id"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused_and_named(
    args: tuple[Any, ...], kwargs: dict[str, Any], named: str
) -> None:
    def task(user_id: int, *, lang: str = "en") -> None: ...

    with pytest.raises(BadArguments) as refused:
        of(task).bind(args, kwargs)

    assert refused.value.task == "the.task"
    assert named in refused.value.problem


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{}", "user_id"),
        ('{"user_id": "x"}', "user_id"),
        ('{"user_id": 1, "other": 2}', "other"),
        ('{"user_id": 1, "where": {"street": 5}}', "where.street"),
        ("[]", "object"),
        ("null", "object"),
        ("{", "truncated"),
        ("", "truncated"),
    ],
)
def test_arguments_written_by_hand_are_refused_with_the_path_of_what_is_wrong(
    text: str, named: str
) -> None:
    def task(user_id: int, where: Address | None = None) -> None: ...

    with pytest.raises(BadArguments) as refused:
        of(task).decode(text)

    assert named in refused.value.problem
    assert "$" not in refused.value.problem


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (datetime, datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)),
        (date, date(2030, 1, 2)),
        (timedelta, timedelta(hours=1, microseconds=5)),
        (UUID, UUID("01234567-89ab-7def-8123-456789abcdef")),
        (Decimal, Decimal("0.1000000000000000000000000001")),
        (bytes, b"\x00\xff"),
        (Colour, Colour.RED),
        (Address, Address("Main", 2, ["a"])),
        (Point, Point(1.5, -0.0)),
        (Model, Model(name="ann")),
        (Aliased, Aliased(firstName="ann")),
        (Computing | None, Computing(at=datetime(2030, 1, 1, tzinfo=UTC))),
        (list[Model], [Model(name="ann"), Model(name="bob")]),
        (dict[str, Address], {"home": Address("Main")}),
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2, 3}),
        (Literal["a", "b"], "b"),
        (int | str, "5"),
        (Any, {"a": [1, None, True, 1.5, "é"]}),
        (float, 3),
        (int, 2**63 - 1),
        (str, 'it\'s "ü" \\ \u2028 😀 \\u0000'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back_as_its_annotated_type(kind: Any, value: Any) -> None:
    def task(value: Any) -> Any:
        return value

    task.__annotations__["value"] = kind

    back = sent(task, value)

    assert back == value
    assert type(back) is type(value) or kind is float


def test_a_model_that_finds_its_value_wrong_names_the_argument() -> None:
    def task(model: Model) -> None: ...

    with pytest.raises(BadArguments) as refused:
        of(task).decode('{"model": {"name": 5}}')

    assert refused.value.problem == "model: name: Input should be a valid string"


def test_a_model_that_finds_its_value_wrong_does_not_quote_it() -> None:
    def task(models: list[Computing]) -> None: ...

    text = json.dumps({"models": [{"at": "s3cret", "more": "s3cret"}]})
    with pytest.raises(BadArguments) as refused:
        of(task).decode(text)

    assert "s3cret" not in "".join(traceback.format_exception(refused.value))
    assert "models[0]: at: Input should be a valid datetime" in refused.value.problem
    assert "more: Extra inputs" in refused.value.problem


def test_a_secret_is_refused_instead_of_kept_as_stars() -> None:
    def task(models: list[Hiding]) -> None: ...

    with pytest.raises(BadArguments, match="models: a secret"):
        of(task).bind(([Hiding(token=SecretStr("s3cret"))],), {})


def test_a_kind_that_cannot_be_made_of_json_is_named() -> None:
    def task(where: Path) -> None: ...

    with pytest.raises(BadArguments, match="where: cannot make a Path"):
        of(task).bind(("/tmp",), {})


def test_a_value_that_is_no_json_is_refused_and_named() -> None:
    def task(good: int, bad: Any) -> None: ...

    with pytest.raises(BadArguments) as refused:
        of(task).bind((1, object()), {})

    assert "bad" in refused.value.problem
    assert "object" in refused.value.problem


def test_positional_only_parameters_are_given_in_their_place() -> None:
    def task(a: int, b: int = 2, /, c: int = 3) -> tuple[int, int, int]:
        return a, b, c

    assert sent(task, 1) == (1, 2, 3)
    assert sent(task, 1, 5, c=6) == (1, 5, 6)


def test_a_positional_only_context_is_given_in_its_place() -> None:
    def task(context: Context, a: int, /) -> tuple[object, int]:
        return context, a

    arguments = of(task)
    assert arguments.context_name is not None
    given: dict[str, Any] = arguments.decode(arguments.bind((5,), {}))
    given[arguments.context_name] = "the context"

    assert arguments.call(task, given) == ("the context", 5)


def test_the_context_is_no_argument_and_cannot_be_given_by_a_caller() -> None:
    def task(context: Context, a: int) -> None: ...

    with pytest.raises(BadArguments, match="context"):
        of(task).bind((), {"context": 1, "a": 2})
    with pytest.raises(BadArguments, match="context"):
        of(task).decode('{"context": 1, "a": 2}')

    assert json.loads(of(task).bind((2,), {})) == {"a": 2}


def test_the_context_cannot_be_given_through_double_star_arguments_either() -> None:
    def task(context: Context, **rest: int) -> None: ...

    with pytest.raises(BadArguments, match="context"):
        of(task).bind((), {"context": 1})
    with pytest.raises(BadArguments, match="context"):
        of(task).decode('{"context": 1}')


def test_double_star_arguments_travel_beside_the_named_ones() -> None:
    def task(a: int, **rest: Any) -> tuple[int, dict[str, Any]]:
        return a, rest

    assert sent(task, 1, b=[2], c=None) == (1, {"b": [2], "c": None})
    assert sent(task, 1) == (1, {})


def test_double_star_arguments_are_validated_by_their_annotation() -> None:
    def task(a: int, **rest: int) -> None: ...

    with pytest.raises(BadArguments) as refused:
        of(task).bind((1,), {"b": "x"})

    assert "b" in refused.value.problem


def test_double_star_arguments_come_back_as_their_annotated_type() -> None:
    def task(**rest: Address) -> dict[str, Address]:
        return rest

    assert sent(task, home=Address("Main")) == {"home": Address("Main")}


def test_two_values_for_one_name_are_refused_not_merged() -> None:
    def task(a: int, /, **rest: int) -> None: ...

    with pytest.raises(BadArguments, match="a"):
        of(task).bind((1,), {"a": 2})


def test_a_function_with_a_bare_star_cannot_be_a_task() -> None:
    def task(*everything: int) -> None: ...

    with pytest.raises(BadArguments, match="everything"):
        of(task)


def test_an_annotation_that_names_nothing_is_refused_at_the_declaration() -> None:
    def task(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    def other(a: json.Nothing) -> None: ...  # type: ignore[name-defined]

    with pytest.raises(BadArguments, match="Nowhere"):
        of(task)
    with pytest.raises(BadArguments, match="Nothing"):
        of(other)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), [float("-inf")], {"x": {"y": (1.0, float("nan"))}},
     Point(float("nan"), 1.0), [Point(1.0, float("inf"))]],
)  # fmt: skip
def test_nan_and_infinity_are_refused_not_stored_as_null(value: Any) -> None:
    def task(value: Any, other: Any = None) -> None: ...

    with pytest.raises(BadArguments, match="NaN"):
        of(task).bind((value,), {"other": None})


def test_null_beside_finite_numbers_is_no_nan() -> None:
    def task(value: Any) -> Any:
        return value

    assert sent(task, [None, 1.5, "null", {"null": None}]) == [None, 1.5, "null", {"null": None}]


@pytest.mark.parametrize(
    "value", ["\x00", "a\x00b", ["x", "\x00"], {"k\x00": 1}, "\\\x00", "\\\\\x00", '"\x00']
)
def test_a_nul_character_is_refused_wherever_it_hides(value: Any) -> None:
    def task(value: Any) -> None: ...

    with pytest.raises(BadArguments, match="NUL"):
        of(task).bind((value,), {})


@pytest.mark.parametrize("value", ["\\u0000", "\\\\u0000", "\\\\\\u0000", "u0000", "\\\\"])
def test_text_that_only_looks_like_a_nul_character_is_kept(value: str) -> None:
    def task(value: str) -> str:
        return value

    assert sent(task, value) == value


@pytest.mark.parametrize("value", ["\ud800", "a\udfff", ["\ud800"], {"\ud800": 1}])
def test_a_lone_surrogate_is_refused_and_the_argument_named(value: Any) -> None:
    def task(good: int, text: Any) -> None: ...

    with pytest.raises(BadArguments) as refused:
        of(task).bind((1, value), {})

    assert refused.value.problem.startswith("text")


def nested(depth: int, kind: str = "list") -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_arguments_nest_sixty_four_deep_and_no_deeper(kind: str) -> None:
    def task(value: Any) -> None: ...

    kept = of(task).bind((nested(63, kind),), {})
    with pytest.raises(TooLarge, match="64"):
        of(task).bind((nested(64, kind),), {})

    assert json.loads(kept) == {"value": nested(63, kind)}


def test_brackets_in_text_and_many_small_lists_are_no_depth() -> None:
    def task(value: Any) -> Any:
        return value

    value = ['[[[{{{"\\' * 50, [[]] * 200, {'"[': "]\\"}]

    assert sent(task, value) == value


def test_json_nested_deeper_than_python_goes_fails_alone_and_readably() -> None:
    def task(value: Any) -> None: ...

    depth = 100_000  # some versions of Python go 1,000 deep, others many thousands
    with pytest.raises(BadArguments):
        of(task).decode('{"value": ' + "[" * depth + "]" * depth + "}")


def test_a_value_that_holds_itself_is_refused() -> None:
    def task(value: Any) -> None: ...

    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises((BadArguments, TooLarge)):
        of(task).bind((endless,), {})


def test_a_number_of_five_thousand_digits_is_refused_on_both_ways() -> None:
    def task(value: int) -> None: ...

    with pytest.raises(BadArguments, match="value"):
        of(task).bind((10**5000,), {})
    with pytest.raises(BadArguments):
        of(task).decode('{"value": ' + "9" * 5000 + "}")


def test_a_number_of_five_thousand_digits_among_double_star_arguments_is_refused() -> None:
    def task(**rest: Any) -> None: ...

    with pytest.raises(BadArguments):
        of(task).decode('{"value": ' + "9" * 5000 + "}")


def test_arguments_of_a_mebibyte_are_kept_and_one_byte_more_is_not() -> None:
    def task(value: str) -> None: ...

    frame = len('{"value":""}')

    kept = of(task).bind(("x" * (1_048_576 - frame),), {})
    with pytest.raises(TooLarge) as refused:
        of(task).bind(("x" * (1_048_577 - frame),), {})

    assert len(kept) == 1_048_576
    assert "1048577" in refused.value.message
    assert refused.value.hint


def test_the_size_counts_bytes_not_characters() -> None:
    def task(value: str) -> None: ...

    with pytest.raises(TooLarge):
        of(task).bind(("é" * 600_000,), {})


def test_a_result_is_json_of_the_value_alone() -> None:
    assert encode_result("t", None) is None
    assert encode_result("t", {"a": 1}) == '{"a":1}'
    assert encode_result("t", "x") == '"x"'
    assert encode_result("t", Model(name="ann")) == '{"name":"ann"}'


@pytest.mark.parametrize(
    "value", [object(), {"x": "a\x00b"}, float("nan"), "\ud800", {1: {2: object()}}]
)
def test_a_result_that_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(BadArguments) as refused:
        encode_result("t", value)

    assert not refused.value.problem.startswith(":")


def test_a_result_nests_as_deep_as_arguments_may() -> None:
    text = encode_result("t", nested(64))

    assert text is not None
    assert json.loads(text) == nested(64)
    with pytest.raises(TooLarge):
        encode_result("t", nested(65))


def test_a_result_that_is_too_large_is_not_called_arguments() -> None:
    with pytest.raises(TooLarge) as refused:
        encode_result("t", "x" * 1_100_000)

    assert "result" in refused.value.message
    assert "arguments" not in refused.value.message


def test_the_schema_of_arguments_names_them() -> None:
    def task(user_id: int, lang: str = "en") -> None: ...

    schema = of(task).json_schema()

    assert schema is not None
    assert "user_id" in schema
    assert json.loads(schema)


def test_parameters_may_have_any_name_that_python_allows() -> None:
    def task(
        self: int, name: str, args: int, model: int, _private: int, tag: int = 3
    ) -> tuple[Any, ...]:
        return self, name, args, model, _private, tag

    assert sent(task, 1, "n", 2, 3, 4) == (1, "n", 2, 3, 4, 3)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(
                st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=8
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(values)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_json_can_hold_comes_back_as_it_was(value: Any) -> None:
    def task(value: Any) -> Any:
        return value

    assert sent(task, value) == value


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_no_bytes_whatever_make_decoding_raise_anything_else(text: bytes) -> None:
    def task(value: int = 0, **rest: Any) -> None: ...

    try:
        found = of(task).decode(text)
    except BadArguments:
        return

    assert isinstance(found, dict)


@given(st.text(max_size=50))
@settings(deadline=None)
def test_any_text_is_either_kept_exactly_or_refused(text: str) -> None:
    try:
        kept = encode("t", {"value": text})
    except BadArguments:
        assert "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text)
        return

    assert json.loads(kept) == {"value": text}


def test_a_call_is_the_same_in_whatever_order_its_arguments_are_named() -> None:
    def task(a: int, b: int = 2, *, c: int = 3) -> None: ...

    arguments = of(task)

    texts = {arguments.bind((), {"c": 3, "b": 2, "a": 1}), arguments.bind((1,), {"c": 3, "b": 2})}

    assert texts == {'{"a":1,"b":2,"c":3}'}


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((1, 2, 3, 4), {}, "too many positional"),
        ((1, 2, 3), {}, "too many positional"),
        ((1,), {"b": 1, "a": 2}, "multiple values for argument 'a'"),
        ((), {"b": 1}, "missing a required"),
        ((1,), {"d": 1}, "unexpected keyword argument 'd'"),
        ((1,), {"b": "two"}, "b: "),
    ],
)
def test_what_the_signature_does_not_take_is_said_in_its_words(
    args: tuple[Any, ...], kwargs: dict[str, Any], says: str
) -> None:
    def task(a: int, b: int = 2, *, c: int = 3) -> None: ...

    with pytest.raises(BadArguments, match=says):
        of(task).bind(args, kwargs)
