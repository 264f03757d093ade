from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import exact_json
from exact_json import BadJson, RepeatedKey


class Point(NamedTuple):
    x: int
    y: Decimal


# A busy machine is no defect.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

text = st.text(st.characters(exclude_categories=()))  # lone surrogates and NULs included
integers = st.integers() | st.integers(min_value=-(10**4300) + 1, max_value=10**4300 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
decimals = st.decimals(allow_nan=False, allow_infinity=False) | st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**25), 10**25),
    st.integers(-60, 60),
)


def documents(*numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.one_of(st.none(), st.booleans(), text, *numbers),
        lambda inner: st.lists(inner) | st.dictionaries(text, inner),
        max_leaves=20,
    )


@unhurried
@given(documents(integers, floats))
def test_what_is_written_is_read_back_unchanged(value: Any) -> None:
    written = exact_json.dumps(value)
    assert written.isascii()
    assert "\0" not in written
    assert exact_json.loads(written) == value
    assert exact_json.loads(written.encode()) == value


@unhurried
@given(documents(integers, decimals))
def test_decimals_keep_their_value(value: Any) -> None:
    assert exact_json.loads(exact_json.dumps(value), decimals=True) == value


@unhurried
@given(documents(st.integers(), floats))
def test_both_encoders_agree_with_the_standard_library(value: Any) -> None:
    expected = json.dumps(value, separators=(",", ":"))
    assert exact_json.dumps(value) == expected
    # A Decimal anywhere takes the other encoder.
    assert exact_json.dumps([value, Decimal("0.5")]) == f"[{expected},0.5]"


@unhurried
@given(st.dictionaries(st.text(), documents(st.integers(), decimals)))
def test_canonical_text_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    backwards = dict(reversed(value.items()))
    assert exact_json.canonical(value) == exact_json.canonical(backwards)
    assert exact_json.loads(exact_json.canonical(value), decimals=True) == value


@unhurried
@given(st.text() | st.binary() | st.text(st.sampled_from('[]{}",:0123456789.eE+-truefalsn \n\\')))
def test_any_text_is_read_or_refused_with_one_exception(document: str | bytes) -> None:
    for exact in (False, True):
        try:
            value = exact_json.loads(document, decimals=exact)
        except BadJson:
            continue
        assert exact_json.loads(exact_json.dumps(value), decimals=exact) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal("0.3"), "0.3"),
        (Decimal("0.0000001"), "0.0000001"),
        (Decimal("1E+5"), "100000"),
        (Decimal("1E+5000"), "1E+5000"),
        pytest.param(Decimal("9" * 4301), "9." + "9" * 4300 + "E+4300", id="too long"),
        (Decimal("-0.00"), "-0.00"),
        ({"a": [Decimal("1.50")]}, '{"a":[1.50]}'),
        pytest.param(10**4299, "1" + "0" * 4299, id="longest"),
        ("\ud800\0é", '"\\ud800\\u0000\\u00e9"'),
        ({1: None, False: (1, 2)}, '{"1":null,"false":[1,2]}'),
        (Point(1, Decimal(2)), "[1,2]"),
    ],
)
def test_written(value: Any, written: str) -> None:
    assert exact_json.dumps(value) == written


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (float("nan"), "use null or text"),
        ([float("inf"), Decimal(1)], "use null or text"),
        ({float("nan"): 1}, "use null or text"),
        (Decimal("NaN"), "use null or text"),
        ([Decimal("sNaN")], "use null or text"),
        ([Decimal("-Infinity")], "use null or text"),
        pytest.param(10**4300, "send it as text", id="too long"),
        pytest.param([10**4300, Decimal(1)], "send it as text", id="too long too"),
        (b"bytes", "bytes is not JSON"),
        ([Decimal(1), b"bytes"], "bytes is not JSON"),
        ({1, 2}, "set is not JSON"),
        ({b"key": 1}, "keys must be"),
        ({Decimal(1): Decimal(1)}, "keys must be"),
    ],
)
def test_what_json_cannot_hold_is_refused(value: Any, remedy: str) -> None:
    with pytest.raises(BadJson, match=remedy):
        exact_json.dumps(value)
    with pytest.raises(BadJson, match=remedy):
        exact_json.canonical(value)


@pytest.mark.parametrize("extra", [[], [Decimal(1)]], ids=["plain", "decimal"])
def test_circular_and_bottomless_values_are_refused(extra: list[Any]) -> None:
    circular: list[Any] = [*extra]
    circular.append(circular)
    bottomless: list[Any] = [*extra]
    for _ in range(100_000):
        bottomless = [bottomless]
    for value in (circular, bottomless):
        with pytest.raises(BadJson, match="make it flatter"):
            exact_json.dumps(value)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "line 1 column 1"),
        ("{}\n{}", "Extra data: line 2 column 1"),
        ('{"a":1,}', "not JSON"),
        ('"\x01"', "Invalid control character"),
        ("NaN", "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        pytest.param("1" * 4301, "more than 4300 digits: send it as text", id="too long"),
        pytest.param("[" * 100_000, "make it flatter", id="arrays"),
        pytest.param('{"a":' * 100_000, "make it flatter", id="objects"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        ("\ufeff1", "not JSON"),
    ],
)
def test_bad_text_is_refused(document: str | bytes, message: str) -> None:
    for exact in (False, True):
        with pytest.raises(BadJson, match=message):
            exact_json.loads(document, decimals=exact)


def test_numbers_beyond_a_float_need_decimals() -> None:
    with pytest.raises(BadJson, match="range of a float"):
        exact_json.loads("1e400")
    assert exact_json.loads("1e400", decimals=True) == Decimal("1e400")
    with pytest.raises(BadJson, match="exponent"):
        exact_json.loads("1e" + "9" * 30, decimals=True)


def test_the_last_of_equal_keys_wins() -> None:
    assert exact_json.loads(' {"a": 1, "a": 2}\r\n\t ') == {"a": 2}


def test_nesting_is_limited_where_a_limit_is_given() -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        deepest = opening * 100 + "1" + closing * 100
        assert exact_json.loads(deepest, max_depth=100) == exact_json.loads(deepest)
        deeper = exact_json.loads(opening + deepest + closing)
        with pytest.raises(BadJson, match="more than 100 levels"):
            exact_json.loads(opening + deepest + closing, max_depth=100)
        with pytest.raises(BadJson, match="more than 100 levels"):
            exact_json.dumps(deeper, max_depth=100)


def test_many_brackets_are_not_deep() -> None:
    flat = [[1], {"a": "[[[["}] * 100
    assert exact_json.loads(exact_json.dumps(flat, max_depth=3), max_depth=3) == flat
    assert exact_json.dumps("[" * 101, max_depth=100) == '"' + "[" * 101 + '"'


@pytest.mark.parametrize("decimals", [False, True])
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"a":1,"a":1}', '"a" 2 times'),
        ('{"b":1,"a":true,"a":true,"b":0,"a":2}', '"a" 3 times'),
        ('[{"x":{"a":1}},{"x":{"y":1,"\\u0079":2}}]', '"y" 2 times'),
        ('{"":1,"":2}', '"" 2 times'),
        ('{"\\ud800":1,"\\ud800":2}', '"\\ud800" 2 times'),
        ('{"%s":1,"%s":2}' % (("k" * 10_000,) * 2), "kkk"),
    ],
)
def test_a_repeated_key_is_refused_where_it_may_not_be(
    text: str, name: str, decimals: bool
) -> None:
    assert exact_json.loads(text, decimals=decimals)
    with pytest.raises(RepeatedKey) as caught:
        exact_json.loads(text, decimals=decimals, unique_keys=True)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 150


@unhurried
@given(documents(integers, decimals))
def test_unique_keys_change_nothing_else(value: Any) -> None:
    written = exact_json.dumps(value)
    assert exact_json.loads(written, decimals=True, unique_keys=True) == value
