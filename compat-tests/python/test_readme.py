"""Runs the JavaScript examples of the quick start unchanged except for address and key; tools/check-docs runs all others."""

import pathlib
import re
import subprocess

import pytest

from conftest import API_KEY, BASE_URL

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs/QUICKSTART.md").read_text()
BLOCKS = re.findall(r"```js\n(.*?)```", PAGE, re.S)


def test_quick_start_has_javascript_examples():
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS)
def test_javascript_examples_of_the_quick_start_work(block):
    folder = ROOT / "compat-tests/node"
    if not (folder / "node_modules").exists():
        pytest.skip("the Node packages are not installed")
    block = block.replace("http://127.0.0.1:8080/v1", BASE_URL).replace("unused", API_KEY)
    command = ["node", "--input-type=module", "--eval", block]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.strip()
