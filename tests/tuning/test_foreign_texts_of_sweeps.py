"""Names and causes in a sweep's table and CSV: letter by letter, and no formulas."""

import csv
import io
import json

import pytest
from rich.console import Console

from kerasae.tuning import report, results

RESULT = {"spread": None, "test_mse": 0.5, "epochs": 1, "seconds": 1.0}
CAUSES = ["=1+1", '=HYPERLINK("http://a")', "+a", "-a", "@a", "'=a", "\ta", "[red]a[/b]", ":smile:"]


@pytest.fixture
def swept(tmp_path):
    """A sweep with failures whose causes are hostile, in a folder of such a name."""
    directory = tmp_path / "[red] =a"
    results.write_json(directory / results.PLAN, {"space": {"activation": ["[b]", "-x"]}})
    for number, cause in enumerate([None, *CAUSES]):
        trial, mse = f"{number:04d}", None if cause else -0.25
        known = {"status": "failed" if cause else "completed", "val_mse": mse, "cause": cause}
        content = {"trial": trial, "values": {"activation": "-x" if cause else "[b]"}}
        path = directory / f"trial_{trial}" / results.RESULT
        results.write_json(path, {**content, **RESULT, **known})
    return directory


def test_texts_are_no_formulas_and_numbers_stay_numbers(swept):
    """Case 51."""
    with results.write_table(swept).open(newline="", encoding="utf-8") as file:
        first, *failed = csv.DictReader(file)
    assert (first["activation"], first["val_mse"], first["test_mse"]) == ("[b]", "-0.25", "0.5")
    assert {row["activation"] for row in failed} == {"'-x"}
    for row, cause in zip(failed, CAUSES, strict=True):
        assert row["cause"] == (cause if cause[0] in "[:" else f"'{cause}")
    board = results.trial_rows(swept)
    assert json.loads(json.dumps(board)) == board
    assert [row["cause"] for row in board[1:]] == CAUSES


def test_a_console_with_markup_shows_texts_letter_by_letter(swept):
    """Case 51: the library is given any console."""
    out = io.StringIO()
    report.finish(swept, Console(file=out, width=200))
    for text in (
        *CAUSES[:3],
        "[red]a[/b]",
        ":smile:",
        "\\ta",
        "[b]",
        str(swept / "leaderboard.csv"),
    ):
        assert text in out.getvalue()
