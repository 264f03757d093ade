"""What a job says of its progress: written with the beats, as one harmless line."""

from __future__ import annotations

import json

import pytest

import ledger
from jobs import Context
from tests.manager.by_hand import ByHand, Unlucky, run_calling
from tests.manager.conftest import JobType


def test_progress_that_could_not_be_written_is_written_later(
    hand: ByHand, unlucky: Unlucky, job_type: JobType
) -> None:
    seen = []

    def work(context: Context) -> None:
        context.progress(50)
        unlucky.refused = 1
        hand.heartbeat.report_progress()
        hand.heartbeat.report_progress()
        seen.append(ledger.find(unlucky, context.job_id).progress)

    run_calling(hand, job_type, work)
    assert seen == ['{"percent": 50}']


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("nul \x00, \x1b[31mred\x1b[0m", "nul , red"),
        ("a\tb\nc\r\nd", "a b c d"),
        ("lone \ud800", "lone \ufffd"),
        ("10%\r20%", "20%"),
        ("ñ 日本", "ñ 日本"),
    ],
)
def test_a_message_of_progress_is_one_harmless_line(
    hand: ByHand, job_type: JobType, said: str, shown: str
) -> None:
    seen: list[str] = []

    def call(context: Context) -> None:
        context.progress(50, said)
        hand.heartbeat.report_progress()
        seen.append(ledger.find(hand.database, context.job_id).progress or "")

    run_calling(hand, job_type, call)
    assert json.loads(seen[0]) == {"percent": 50, "message": shown}
