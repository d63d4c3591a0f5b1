"""Pages with their fenced blocks, and the comments about these."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from local_programs import ROOT

SHELL, RUN, PARSED = ("sh", "bash", "console"), ("sh", "bash", "console", "python"), ("toml", "json")
WORDS = {"checkout", "no server", "open", "errors"}


@dataclass
class Block:
    language: str
    line: int
    text: str
    reason: str | None = None
    runner: str | None = None
    is_background: bool = False


@dataclass
class Page:
    path: Path
    blocks: list[Block] = field(default_factory=list)
    words: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    def run_here(self) -> list[Block]:
        return [block for block in self.blocks if block.language in RUN and block.reason is None and block.runner is None]


class Trouble(Exception):
    """A block that does not work, or a page that is malformed."""


def indented(text: str) -> str:
    lines = text.strip().splitlines()
    kept = lines if len(lines) <= 40 else [*lines[:10], f"... {len(lines) - 40} lines ...", *lines[-30:]]
    return "\n".join(f"    {line}" for line in kept) or "    (no output)"


def read_page(path: Path) -> Page:
    page, block, indent, fence = Page(path), None, "", ""
    reason, runner, is_background = None, None, False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        opening = re.match(r"(\s*)(```+)\s*(\w*)", line)
        if block is not None:
            if line.strip() == fence:
                page.blocks.append(block)
                block = None
            else:
                block.text += line.removeprefix(indent) + "\n"
        elif opening:
            indent, fence = opening[1], opening[2]
            block = Block(opening[3], number, "", reason, runner, is_background)
            reason, runner, is_background = None, None, False
        elif comment := re.fullmatch(r"\s*<!-- not run: (.+) -->", line):
            reason = comment[1]
        elif comment := re.fullmatch(r"\s*<!-- run by (\S+) -->", line):
            runner = comment[1]
            if not (ROOT / runner).is_file():
                raise Trouble(f"{page.name}:{number}: there is no file {runner}")
        elif re.fullmatch(r"\s*<!-- in the background -->", line):
            is_background = True
        elif comment := re.fullmatch(r"\s*<!-- commands: (.+) -->", line):
            page.words |= {word.strip() for word in comment[1].split(",")}
        elif line.strip() and (reason or runner or is_background):
            raise Trouble(f"{page.name}:{number}: a comment for a block is followed by something else")
    if block is not None:
        raise Trouble(f"{page.name}:{block.line}: the block has no end")
    if unknown := page.words - WORDS:
        raise Trouble(f"{page.name}: unknown words in `commands`: {', '.join(sorted(unknown))}")
    for block in page.blocks:
        if not block.language:
            raise Trouble(f"{page.name}:{block.line}: the block names no language; `text` for output")
    return page


def count(pages: list[Page], is_listed: bool) -> float:
    """Returns the share of shell blocks that are run, and prints the counts if asked to."""
    run: Counter[str] = Counter()
    elsewhere: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for page in pages:
        mine = [block for block in page.blocks if block.language in RUN + PARSED]
        for block in mine:
            (left if block.reason is not None else elsewhere if block.runner else run)[block.language] += 1
        if is_listed and mine:
            skipped = [block for block in mine if block.reason is not None or block.runner]
            print(f"{page.name}: {len(mine) - len(skipped)} checked, {len(skipped)} not here")
            for block in skipped:
                print(f"    line {block.line}, {block.language}: {block.reason or f'run by {block.runner}'}")
    if is_listed:
        for language in RUN + PARSED:
            print(f"{language:8} {run[language]:4} checked {elsewhere[language]:4} by other tests {left[language]:4} not run")
    shell, others, not_run = (sum(counts[name] for name in SHELL) for counts in (run, elsewhere, left))
    all_shell = shell + others + not_run
    if is_listed:
        print(f"of {all_shell} shell blocks {shell} are run here, {others} by other tests")
    return (shell + others) / max(all_shell, 1)
