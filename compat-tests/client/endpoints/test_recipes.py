"""Pages of docs/recipes: their parts, and what of them can be checked without the client that they are about."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tomllib
from documented import ROOT

RECIPES = sorted((ROOT / "docs" / "recipes").glob("*.md"))
HEADINGS = ["## What you need", "## Does it work?", "## Not supported", "## What it costs"]
# Its checks are in compat-tests/openapi/run.
WITHOUT_HEADINGS = {"typescript"}
NOT_RUN = {"open-webui", "n8n"}
MAX_LINES = 85


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_recipe_has_all_parts_on_one_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    if path.stem not in WITHOUT_HEADINGS:
        assert [heading for heading in HEADINGS if heading not in text] == []
    assert ("Not run in CI: " in text, "\nCI " in text) == (path.stem in NOT_RUN, path.stem not in NOT_RUN)


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_recipe_is_in_the_index_and_names_a_client_that_ci_runs(path: Path) -> None:
    index = (ROOT / "docs" / "EXAMPLES.md").read_text(encoding="utf-8")
    assert f"](recipes/{path.name})" in index
    clients = tomllib.loads((ROOT / "compat-tests" / "clients" / "clients.toml").read_text(encoding="utf-8"))["client"]
    in_ci = {re.sub(r"[^a-z0-9]+", "-", client["name"].lower()) for client in clients if client.get("in_ci")}
    for command in re.findall(r"`compat-tests/run clients ([a-z0-9 -]+)`", path.read_text(encoding="utf-8")):
        assert set(command.split()) <= in_ci, f"mark {command} by `in_ci` in clients.toml, so that CI runs it"


def test_workflow_of_n8n_is_complete() -> None:
    (text,) = blocks(ROOT / "docs" / "recipes" / "n8n.md", "json")
    workflow = json.loads(text)
    names = {node["name"] for node in workflow["nodes"]}
    assert len(names) == len(workflow["nodes"])
    for source, outputs in workflow["connections"].items():
        targets = {link["node"] for groups in outputs.values() for group in groups for link in group}
        assert {source} | targets <= names
    assert {key for node in workflow["nodes"] for key in node} == {
        "name",
        "type",
        "typeVersion",
        "position",
        "parameters",
    }


def test_settings_of_open_webui_name_the_address_with_v1() -> None:
    (command,) = blocks(ROOT / "docs" / "recipes" / "open-webui.md", "sh")
    settings = dict(re.findall(r"-e ([A-Z_]+)=(\S+)", command))
    assert settings["OPENAI_API_BASE_URL"].endswith("/v1")
    assert {"OPENAI_API_KEY", "TASK_MODEL_EXTERNAL", "DEFAULT_MODELS"} <= settings.keys()
