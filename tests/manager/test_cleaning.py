"""A line that a job wrote, made harmless."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.cleaning import CUT, MAX_LINE, clean

# Text in which terminal codes, controls and what UTF-8 cannot hold are not rare.
NASTY = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.text(st.characters(categories=["Cc", "Cs"]), max_size=5),
        st.sampled_from(
            [
                "\x1b[31m",
                "\x1b]0;title\x07",
                "\x1b]8;;http://x\x1b\\",
                "\x9b2J",
                "\r",
                "\x1b",
                "\x1bc",
            ]
        ),
        st.integers(0, 3).map(lambda n: "word " * 10**n),
        st.just("\U0001f600" * 3000),
    ),
    max_size=8,
).map("".join)


@given(NASTY | st.binary(max_size=300))
def test_what_is_clean_has_no_control_character_and_fits(raw: str | bytes) -> None:
    text = clean(raw)
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert len(text) <= len(raw)
    assert len(text.encode()) <= MAX_LINE


@given(NASTY)
def test_what_is_clean_stays_as_it_is(raw: str) -> None:
    assert clean(clean(raw)) == clean(raw)


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" ")))
def test_plain_text_is_untouched(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;the title\x07shown", "shown"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x1b\x1b[0m[31mb", "a[31mb"),
        ("\x9b31mred", "red"),
        ("10 %\r50 %\r100 %\r", "100 %"),
        ("windows\r", "windows"),
        ("nul\x00 bell\x07 back\x08 del\x7f", "nul bell back del"),
        ("a\tb", "a b"),
        ("lone \ud800", "lone \ufffd"),
        ("turned \u202eround", "turned round"),
        (b"latin \xe9", "latin \ufffd"),
        ("é 漢 👍🏽 \u200d", "é 漢 👍🏽 \u200d"),
        ("", ""),
    ],
)
def test_lines(raw: str | bytes, line: str) -> None:
    assert clean(raw) == line


def test_a_long_line_is_cut_between_characters_and_says_so() -> None:
    assert clean("x" * MAX_LINE) == "x" * MAX_LINE
    cut = clean("é" * MAX_LINE)
    assert cut == "é" * ((MAX_LINE - len(CUT.encode())) // 2) + CUT
    assert clean("begun", is_cut=True) == "begun" + CUT
