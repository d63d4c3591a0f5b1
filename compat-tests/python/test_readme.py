"""Runs the README's examples unchanged except for the address and the key."""

import pathlib
import re
import subprocess
import sys

import pytest

from conftest import API_KEY, BASE_URL

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language, holding):
    found = [block for block in re.findall(rf"```{language}\n(.*?)```", README, re.S) if holding in block]
    assert found, f"the README has no {language} block with {holding}"
    return [adapted(block) for block in found]


def adapted(block):
    block = block.replace("http://127.0.0.1:8080/v1", BASE_URL).replace("unused", API_KEY)
    return block.replace("curl ", f'curl --silent --fail-with-body -H "authorization: Bearer {API_KEY}" ')


def output(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize("block", blocks("sh", "curl "))
def test_curl_examples_of_the_readme_work(block):
    assert '"finish_reason":"stop"' in output("bash", "-c", block)


@pytest.mark.parametrize("block", blocks("python", "base_url"))
def test_python_examples_of_the_readme_work(block):
    assert output(sys.executable, "-c", block).strip()


@pytest.mark.parametrize("block", blocks("js", "baseURL"))
def test_node_examples_of_the_readme_work(block):
    folder = ROOT / "compat-tests/node"
    if not (folder / "node_modules").exists():
        pytest.skip("the Node packages are not installed")
    assert output("node", "--input-type=module", "--eval", block, cwd=folder).strip()
