from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from functools import wraps
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

import exact_json
from jobs.errors import PayloadError
from jobs.payload import Payload


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Node(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    size: int
    when: datetime | None = None
    children: list[Node] = []


@dataclass
class Point:
    x: int
    y: int = 0


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Pair(TypedDict):
    left: Decimal
    right: Any


ID = "01890a5d-ac96-774b-bcce-b302099a8057"
BIG = 12345678901234567890123456789012345678901234567890


def payload_of(annotation: Any) -> Payload:
    def function(context: Any, field: Any) -> None: ...

    function.__annotations__["field"] = annotation
    return Payload("trial", function)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "5", 5),
        (int, "5.0", 5),
        (int, "-1e2", -100),
        (int, str(BIG), BIG),
        (int | None, "null", None),
        (float, "5", 5.0),
        (float, "0.1", 0.1),
        (bool, "true", True),
        (str, '"\\ud800\\u0000"', "\ud800\0"),
        (Decimal, "5", Decimal(5)),
        (Decimal, f"0.{BIG}", Decimal(f"0.{BIG}")),
        (int | Decimal, str(BIG), BIG),
        (int | Decimal, "1.10", Decimal("1.10")),
        (int | Decimal, "1.0", Decimal("1.0")),
        (int | str, '"5"', "5"),
        (datetime, '"2030-01-31T23:59:00Z"', datetime(2030, 1, 31, 23, 59, tzinfo=UTC)),
        (datetime | str, '"2030-01-31T23:59:00Z"', "2030-01-31T23:59:00Z"),
        (date, '"2030-01-31"', date(2030, 1, 31)),
        (time, '"23:59:00"', time(23, 59)),
        (timedelta, '"PT90S"', timedelta(seconds=90)),
        (UUID, f'"{ID}"', UUID(ID)),
        (Colour, '"red"', Colour.RED),
        (Level, "2", Level.HIGH),
        (Literal["a", 1], "1", 1),
        (list, "[1, 0.5]", [1, 0.5]),
        (list[int], "[1, 2.0]", [1, 2]),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (set[int], "[1, 1]", {1}),
        (dict[str, float], '{"a": 1}', {"a": 1.0}),
        (dict[int, Decimal], '{"5": 0.10}', {5: Decimal("0.10")}),
        (Point, '{"x": 1.0}', Point(1)),
        (list[Point], '[{"x": 1, "y": 2}]', [Point(1, 2)]),
        (Cat | Dog, '{"kind": "dog", "tricks": []}', Dog(kind="dog", tricks=[])),
        (
            Node,
            '{"size": 1, "children": [{"size": 2.0, "when": "2030-01-31T00:00:00Z"}]}',
            Node(size=1, children=[Node(size=2, when=datetime(2030, 1, 31, tzinfo=UTC))]),
        ),
        (Pair, '{"left": 0.10, "right": [0.5]}', {"left": Decimal("0.10"), "right": [0.5]}),
        (Any, '{"a": [1, 0.5, null]}', {"a": [1, 0.5, None]}),
    ],
)
def test_values_become_their_annotated_types(annotation: Any, text: str, value: Any) -> None:
    payload = payload_of(annotation)
    document = f'{{"field": {text}}}'
    payload.check(exact_json.loads(document))
    payload.check(exact_json.loads(document, decimals=True))
    (found,) = payload.arguments(document).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (int, '"5"', "must be an integer, without quotes"),
        (int, "true", "must be an integer, without quotes"),
        (int, "5.5", "must be an integer, without quotes"),
        (int, "null", "must be an integer, without quotes"),
        (float, '"5"', "must be a number, without quotes"),
        (float, "false", "must be a number, without quotes"),
        (float, "1" + "0" * 400, "must be a number within the range of a float"),
        (Decimal, '"5"', "must be a number, without quotes"),
        (Decimal, "true", "must be a number, without quotes"),
        (bool, "1", "must be true or false, without quotes"),
        (bool, '"true"', "must be true or false, without quotes"),
        (str, "5", "must be text, in quotes"),
        (int | str, "[]", "must be an integer, without quotes or must be text, in quotes"),
        (datetime, "1893456000", "must be text such as 2030-01-31T23:59:00Z"),
        (datetime, '"1893456000"', "must be text such as 2030-01-31T23:59:00Z"),
        (datetime, '"tomorrow"', "must be text such as 2030-01-31T23:59:00Z"),
        (date, "5", "must be text such as 2030-01-31"),
        (timedelta, "5", "must be text such as PT1H30M"),
        (UUID, '"x"', f"must be a UUID, such as {ID}"),
        (Colour, '"green"', "should be 'red' or 'blue'"),
        (Level, '"1"', "should be 1 or 2"),
        (Level, "true", "should be 1 or 2"),
        (Literal[1], "true", "should be 1"),
        (list[int], '"abc"', "must be a list: [...]"),
        (dict[str, int], "[]", "must be an object: {...}"),
        (Point, "5", "must be an object: {...}"),
        (Annotated[int, Field(ge=0)], "-1", "should be greater than or equal to 0"),
    ],
)
def test_values_of_another_type_are_refused(annotation: Any, text: str, message: str) -> None:
    payload = payload_of(annotation)
    document = f'{{"field": {text}}}'
    for decimals in (False, True):
        with pytest.raises(PayloadError) as caught:
            payload.check(exact_json.loads(document, decimals=decimals))
        ((pointer, found),) = caught.value.errors
        assert pointer == "/payload/field"
        assert found.startswith(message)
    with pytest.raises(PayloadError):
        payload.arguments(document)


@pytest.mark.parametrize("annotation", [int, float, Decimal, Any, Annotated[int, Field(ge=0)]])
@pytest.mark.parametrize("text", ["1e999999999", "-1e999999999", "1e-999999999"])
def test_vast_exponents_cost_nothing(annotation: Any, text: str) -> None:
    payload = payload_of(annotation)
    document = exact_json.loads(f'{{"field": {text}}}', decimals=True)
    with suppress(PayloadError):
        payload.check(document)


def resize(context: Any, url: str, width: int = 800, tag: str | None = None) -> None: ...


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        ({}, [("/payload/url", "is required: add it")]),
        (
            {"url": 1, "size": 2},
            [
                ("/payload/url", "must be text, in quotes"),
                ("/payload/size", "is unknown: the fields are url, width, tag"),
            ],
        ),
        ({"url": "u", "context": 1}, None),
        (
            {"url": "u", "a/b~c": 1},
            [("/payload/a~1b~0c", "is unknown: the fields are url, width, tag")],
        ),
        ([], [("/payload", "must be an object: {...}")]),
        (None, [("/payload", "must be an object: {...}")]),
        (
            {"url": "u", "\ud800": 1},
            [("/payload", "must be text that UTF-8 can hold: leave out lone surrogates")],
        ),
    ],
)
def test_every_bad_field_is_named(given: Any, errors: list[tuple[str, str]] | None) -> None:
    with pytest.raises(PayloadError) as caught:
        Payload("resize", resize).check(given)
    if errors is not None:
        assert caught.value.errors == errors
    for pointer, _ in caught.value.errors:
        assert pointer in str(caught.value)


def test_places_deep_in_a_payload_are_pointed_at() -> None:
    with pytest.raises(PayloadError) as caught:
        payload_of(list[Node] | None).check(
            {"field": [{"size": 1}, {"size": 1, "children": [{"when": 5, "x": 1}]}]}
        )
    assert caught.value.errors == [
        ("/payload/field/1/children/0/size", "is required: add it"),
        ("/payload/field/1/children/0/when", "must be text such as 2030-01-31T23:59:00Z"),
        ("/payload/field/1/children/0/x", "is unknown: leave it out"),
    ]


def test_no_message_repeats_a_value() -> None:
    tagged = payload_of(Annotated[Cat | Dog, Field(discriminator="kind")])
    with pytest.raises(PayloadError, match="must have one of the tags 'cat', 'dog'") as caught:
        tagged.check({"field": {"kind": "hunter2"}})
    assert "hunter2" not in str(caught.value)


def test_a_long_list_of_mistakes_is_cut() -> None:
    with pytest.raises(PayloadError) as caught:
        payload_of(list[int]).check({"field": ["x"] * 1000})
    assert len(caught.value.errors) == 50


def test_what_is_left_out_is_left_to_the_function() -> None:
    payload = Payload("resize", resize)
    assert payload.arguments('{"url":"u"}') == {"url": "u"}
    assert payload.schema["properties"]["width"]["default"] == 800


def test_fields_may_have_any_name() -> None:
    def names(context: Any, json: int, schema: int, _private: int, model_x: int, type: int) -> None:
        raise NotImplementedError

    text = '{"json":1,"schema":2,"_private":3,"model_x":4,"type":5}'
    assert Payload("names", names).arguments(text) == exact_json.loads(text)


def test_keyword_arguments_take_any_field_but_the_context() -> None:
    def open_ended(context: Any, known: Decimal, **others: Any) -> None: ...

    payload = Payload("open", open_ended)
    assert payload.arguments('{"known":0.10,"other":[0.5]}') == {
        "known": Decimal("0.10"),
        "other": [0.5],
    }
    assert payload.schema["additionalProperties"] is True
    with pytest.raises(PayloadError, match="/payload/context is taken"):
        payload.check({"known": 1, "context": 2})


def test_a_missing_annotation_is_anything() -> None:
    def loose(context, thing, other=None): ...  # type: ignore[no-untyped-def]

    Payload("loose", loose).check({"thing": {"a": [1, None]}, "other": True})


def test_the_authors_own_validators_have_their_say(caplog: pytest.LogCaptureFixture) -> None:
    def even(number: int) -> int:
        if number == 13:
            raise KeyError(number)
        if number % 2:
            raise ValueError("must be even: add one")
        return number

    payload = payload_of(Annotated[int, AfterValidator(even)])
    payload.check({"field": 2})
    with pytest.raises(PayloadError, match=r"^/payload/field must be even: add one$"):
        payload.check({"field": 3})
    with (
        caplog.at_level(logging.ERROR, "capataz.jobs"),
        pytest.raises(PayloadError, match="could not be checked"),
    ):
        payload.check({"field": 13})
    assert "KeyError" in caplog.text


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"url":NaN}'])
def test_a_stored_payload_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(PayloadError, match=r"^/payload "):
        Payload("resize", resize).arguments(text)


def test_the_schema_of_a_decimal_is_a_number() -> None:
    schema = payload_of(Annotated[Decimal, Field(gt=0)]).schema
    assert schema["properties"]["field"]["type"] == "number"


def test_defaults_are_shown_where_json_can_hold_them() -> None:
    def defaults(
        context: Any,
        colour: Colour = Colour.RED,
        price: Decimal = Decimal("1.5"),
        check: Any = object(),  # noqa: B008 - no JSON can hold it
    ) -> None: ...

    properties = Payload("defaults", defaults).schema["properties"]
    assert properties["colour"]["default"] == "red"
    assert properties["price"]["default"] == 1.5
    assert "default" not in properties["check"]


def test_a_wrapped_function_keeps_its_payload() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return inner

    assert Payload("resize", logged(resize)).schema["required"] == ["url"]
