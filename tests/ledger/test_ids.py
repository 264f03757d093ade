"""Ids: UUIDv7, in order, never the same one twice, and nothing else is taken for one."""

from __future__ import annotations

import time
import uuid

import pytest

import ledger
from ledger.ids import pack, text_id
from tests.ledger import evidence

ID = "0190d6c2-6b5a-7abc-8def-0123456789ab"


def test_an_id_is_a_uuid_of_version_7_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = ledger.new_ids(2000)
    after = time.time_ns() // 1_000_000
    for text in made:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 7, uuid.RFC_4122)
        # A counter that runs out borrows from the millisecond that follows.
        assert before <= parsed.int >> 80 <= after + 2


def test_ids_of_one_process_are_in_order() -> None:
    made = [*ledger.new_ids(5000), *(ledger.new_id() for _ in range(5000)), *ledger.new_ids(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert [uuid.UUID(text).bytes for text in made] == sorted(uuid.UUID(t).bytes for t in made)


def test_ids_stay_in_order_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ledger.new_id()
    yesterday = time.time_ns() - 86_400 * 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: yesterday)
    assert first < ledger.new_id() < ledger.new_id()


def test_a_hundred_thousand_ids_of_eight_threads_are_unique() -> None:
    def make() -> list[str]:
        made = [text for _ in range(50) for text in ledger.new_ids(240)]
        return made + [ledger.new_id() for _ in range(500)]

    lists = evidence.at_once([make] * 8)
    assert len({text for made in lists for text in made}) == 100_000
    assert all(made == sorted(made) for made in lists), "each thread sees its own in order"


def test_no_ids_at_all() -> None:
    assert ledger.new_ids(0) == []
    assert pack([]) == b""
    assert list(ledger.unpack(b"")) == []


def test_packing_and_unpacking() -> None:
    made = ledger.new_ids(100)
    packed = pack(made)
    assert packed == b"".join(uuid.UUID(text).bytes for text in made)
    assert list(ledger.unpack(packed)) == made
    assert text_id(pack([ID])) == text_id(ID) == ID


@pytest.mark.parametrize("text", [ID, ID.upper(), ledger.new_id()], ids=("known", "upper", "new"))
def test_an_id_is_known_in_either_case(text: str) -> None:
    assert ledger.parse_id(text) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "null",
        ID[:-1],
        ID + "0",
        ID.replace("-", ""),
        "{" + ID + "}",
        "{" + ID[1:-1] + "}",
        "urn:uuid:" + ID,
        ID[:-1] + "g",
        ID.replace("-", "_"),
        " " + ID[:-1],
        ID[:-1] + "\n",
        ID[:-1] + "\0",
        "\N{ARABIC-INDIC DIGIT ZERO}" + ID[1:],
        "0190d6c26b5a-7abc-8def-0123-456789ab",
        "-" * 4 + ID.replace("-", ""),
        "../../../../../../../../../etc/passwd",
        "' OR 1=1 --" + " " * 25,
    ],
)
def test_nothing_else_is_taken_for_an_id(text: str) -> None:
    assert ledger.parse_id(text) is None
