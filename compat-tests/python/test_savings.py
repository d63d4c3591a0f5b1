"""The example that replays a day of work, and what the server saves of its cost."""

import pathlib
import subprocess
import sys

import pytest
from conftest import API_KEY, BASE_URL, STAND_IN_URL

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples/savings/replay_day.py"
PARTS = ["questions", "repeats", "conversation", "agent", "batch", "total"]


@pytest.mark.skipif(STAND_IN_URL is None, reason="STAND_IN_URL is not set")
def test_replayed_day_saves_at_least_60_percent():
    options = ["--url", BASE_URL.removesuffix("/v1"), "--key", API_KEY, "--stand-in", "--at-least", "60"]
    done = subprocess.run([sys.executable, EXAMPLE, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    headings, *rows = done.stdout.splitlines()
    assert headings.split()[:4] == ["requests", "cost", "baseline", "saved"]
    cells = {row.split()[0]: row.split() for row in rows}
    assert list(cells) == PARTS
    # Equal questions are answered from the response cache.
    assert cells["repeats"][2] == "$0.0000"
