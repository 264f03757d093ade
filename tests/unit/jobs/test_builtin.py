from __future__ import annotations

import time
from decimal import Decimal
from fractions import Fraction
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import exact_json
from jobs import Context, Fail, Retry, registry
from jobs.builtin.add import add, parse_number
from jobs.builtin.fail import FailedAsTold
from jobs.errors import Cancelled, PayloadError

registry.load()

# A busy machine is no defect.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

integers = st.integers() | st.integers(-(10**4299), 10**4299)
decimals = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places),
    st.integers(-(10**27), 10**27),
    st.integers(0, 40),
)


@pytest.fixture
def context() -> Context:
    return Context("0190")


def run(name: str, payload: Any, context: Context) -> Any:
    kind = registry.get(name)
    kind.check(payload)
    return kind.function(context, **kind.arguments(exact_json.dumps(payload)))


@unhurried
@given(integers | decimals, integers | decimals)
def test_add_is_exact(num1: int | Decimal, num2: int | Decimal) -> None:
    total = run("add", {"num1": num1, "num2": num2}, Context("0190"))
    assert Fraction(total) == Fraction(num1) + Fraction(num2)
    assert isinstance(total, int) == ("." not in exact_json.dumps([num1, num2]))
    written = exact_json.dumps(total)
    assert "E" not in written
    assert "." not in written or not written.endswith("0")
    assert written != "-0"


@pytest.mark.parametrize(
    ("num1", "num2", "total"),
    [
        ("2", "3", "5"),
        ("-2", "3", "1"),
        ("0.1", "0.2", "0.3"),
        ("1.50", "1.50", "3"),
        ("150.0", "150", "300"),
        ("-0.0", "0", "0"),
        ("-0.0", "-0.0", "0"),
        ("0.0000001", "0", "0.0000001"),
        ("9007199254740993", "1", "9007199254740994"),
        (
            "12345678901234567890.12345678901234567890",
            "1",
            "12345678901234567891.1234567890123456789",
        ),
        ("1" + "0" * 4299, "0." + "0" * 4299 + "1", "1" + "0" * 4299 + "." + "0" * 4299 + "1"),
    ],
)
def test_add_writes_what_a_person_expects(
    num1: str, num2: str, total: str, context: Context
) -> None:
    payload = {"num1": parse_number(num1), "num2": parse_number(num2)}
    assert exact_json.dumps(run("add", payload, context)) == total


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (Decimal("1E+5"), "without an exponent"),
        pytest.param(10**4300, "at most 4300 digits", id="long"),
        pytest.param(-(10**4300), "at most 4300 digits", id="long and negative"),
        (Decimal("1E-4301"), "at most 4300 digits"),
        pytest.param(Decimal("1" + "0" * 4300 + ".5"), "at most 4300 digits", id="long and broken"),
        (True, "without quotes"),
        ("5", "without quotes"),
        (None, "without quotes"),
    ],
)
def test_add_refuses_at_submit(number: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=f"^/payload/num2 .*{message}"):
        registry.get("add").check({"num1": 1, "num2": number})


@pytest.mark.parametrize(
    "number", [10**4300 - 1, Decimal("9" * 4300 + ".5")], ids=["int", "decimal"]
)
def test_a_sum_too_long_to_be_read_is_a_failure(number: int | Decimal, context: Context) -> None:
    with pytest.raises(Fail, match="more than 4300 digits"):
        add(context, number, number)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("+7", 7),
        ("-7", -7),
        ("007", 7),
        ("0.10", Decimal("0.10")),
        ("-1.5", Decimal("-1.5")),
        pytest.param("9" * 4300, 10**4300 - 1, id="longest"),
    ],
)
def test_numbers_of_a_url(text: str, number: int | Decimal) -> None:
    found = parse_number(text)
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1\n",
        "1e5",
        "nan",
        "inf",
        "-Infinity",
        "1.",
        ".5",
        "1,5",
        "1_0",
        "٣",
        "0x1",
        "--1",
    ],
)
def test_what_is_no_number_of_a_url(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be digits.*no exponent"):
        parse_number(text)


@pytest.mark.parametrize("text", ["9" * 4301, "0." + "0" * 4301], ids=["whole", "places"])
def test_numbers_of_a_url_have_a_length(text: str) -> None:
    with pytest.raises(ValueError, match="at most 4300 digits"):
        parse_number(text)


@unhurried
@given(st.text() | st.text("0123456789+-.eE"))
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    try:
        number = parse_number(text)
    except ValueError:
        return
    registry.get("add").check({"num1": number, "num2": 0})


@pytest.mark.parametrize("seconds", [0, 0.02])
def test_sleep_sleeps(seconds: float, context: Context) -> None:
    begin = time.monotonic()
    assert run("sleep", {"seconds": seconds}, context) == {"slept": seconds}
    assert time.monotonic() - begin >= seconds
    progress = context.take_progress()
    assert seconds == 0 or (progress is not None and progress.percent == 100)


def test_sleep_stops_when_it_is_cancelled(context: Context) -> None:
    ended: list[BaseException] = []

    def sleeping() -> None:
        try:
            run("sleep", {"seconds": 86400}, context)
        except Cancelled as error:
            ended.append(error)

    thread = Thread(target=sleeping)
    thread.start()
    context.cancel()
    thread.join(10)
    (error,) = ended
    assert str(error).endswith(" of 86400 s")


@pytest.mark.parametrize("seconds", [-1, 86401, "1", True, None])
def test_sleep_checks_its_seconds(seconds: Any) -> None:
    with pytest.raises(PayloadError, match=r"^/payload/seconds "):
        registry.get("sleep").check({"seconds": seconds})


def test_fail_fails_as_it_is_told(context: Context) -> None:
    with pytest.raises(FailedAsTold, match=r"^failed as it was told$"):
        run("fail", {}, context)
    with pytest.raises(Fail, match=r"^for good$"):
        run("fail", {"message": "for good", "fatal": True}, context)
    with pytest.raises(Retry, match=r"^later$") as caught:
        run("fail", {"message": "later", "after": 1.5}, context)
    assert caught.value.after == 1.5


def test_fail_can_succeed_in_the_end() -> None:
    for attempt in (1, 2):
        with pytest.raises(FailedAsTold):
            run("fail", {"times": 2}, Context("0190", attempt=attempt))
    assert run("fail", {"times": 2}, Context("0190", attempt=3)) == {"attempt": 3}
