"""Checks of blocks and tables that need no server: JSON, settings, error codes."""

import json
import os
import re
import subprocess
import tempfile
import tomllib

from local_programs import ROOT

from .pages import Page, indented
from .programs import Programs


def parse_json(text: str) -> None:
    """Parses one or several values, in which `...` stands for something that is left out."""
    parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
    loose = "".join(part if part.startswith('"') else part.replace("...", " ") for part in parts)
    parts = re.split(r'("(?:[^"\\]|\\.)*")', loose)
    loose = "".join(part if part.startswith('"') else tidy_commas(part) for part in parts)
    decoder, position = json.JSONDecoder(), 0
    loose = loose.strip()
    while position < len(loose):
        _, position = decoder.raw_decode(loose, position)
        position += len(loose[position:]) - len(loose[position:].lstrip())


def tidy_commas(text: str) -> str:
    text = re.sub(r",(\s*,)+", ",", text)
    text = re.sub(r"([\[{]\s*),", r"\1", text)
    return re.sub(r",(\s*[\]}])", r"\1", text)


def check_parsed(page: Page, programs: Programs) -> list[str]:
    troubles = []
    for block in page.blocks:
        place = f"{page.name}:{block.line}"
        if block.reason is not None:
            continue
        try:
            if block.language == "json":
                parse_json(block.text)
            elif block.language == "toml":
                names = set(tomllib.loads(block.text))
                if names and names <= programs.sections:
                    troubles += check_settings(programs, place, block.text)
        except ValueError as error:
            troubles.append(f"{place}: no {block.language}: {error}")
    return troubles


def check_settings(programs: Programs, place: str, text: str) -> list[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".toml", dir=programs.work) as file:
        file.write(text.replace("/path/to/", f"{ROOT}/"))
        file.flush()
        done = subprocess.run([programs.server, "check-config", "--config", file.name], capture_output=True, text=True, check=False,
                              env={"HOME": str(programs.work), "PATH": os.environ["PATH"]})
    return [] if done.returncode == 0 else [f"{place}: check-config refuses it:\n{indented(done.stderr)}"]


def check_error_codes() -> list[str]:
    """Compares the codes of the server with the rows of docs/TROUBLESHOOTING.md."""
    table = (ROOT / "src/http/error/error_codes.rs").read_text()
    known = set(re.findall(r'\((\d{3}), Some\("(\w+)"\)\)', table))
    text = (ROOT / "docs/TROUBLESHOOTING.md").read_text()
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    told = {(status, code) for status, code, _, _ in rows}
    missing = [f"docs/TROUBLESHOOTING.md: no row for {status} `{code}`" for status, code in sorted(known - told)]
    return missing + [f"docs/TROUBLESHOOTING.md: no error is {status} `{code}`" for status, code in sorted(told - known)]
