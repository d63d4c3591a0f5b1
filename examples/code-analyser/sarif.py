"""Findings in the form SARIF 2.1.0, which code hosts show beside the code."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from findings import Finding

VERSION = "2.1.0"
SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
TOOL = "claude-switchboard code-analyser"


def rendered_sarif(findings: list[Finding], folder: Path) -> str:
    """Log with one run."""
    rules = sorted({finding.rule for finding in findings})
    run = {
        "tool": {"driver": {"name": TOOL, "rules": [{"id": rule} for rule in rules]}},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"ROOT": {"uri": folder.as_uri() + "/"}},
        "results": [result(finding, rules.index(finding.rule), folder) for finding in findings],
    }
    return json.dumps({"$schema": SCHEMA_URI, "version": VERSION, "runs": [run]}, indent=2, ensure_ascii=False)


def result(finding: Finding, rule_index: int, folder: Path) -> dict[str, object]:
    """Result of a finding."""
    location = {
        "artifactLocation": {"uri": quote(Path(finding.file).as_posix()), "uriBaseId": "ROOT"},
        "region": {"startLine": finding.line},
    }
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        # The severities are SARIF's levels.
        "level": finding.severity,
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"ruleAndLine/v1": fingerprint(finding, folder)},
    }


def fingerprint(finding: Finding, folder: Path) -> str:
    """Text that stays the same when lines above the finding come and go."""
    lines = (folder / finding.file).read_text(encoding="utf-8", errors="replace").splitlines()
    line = lines[finding.line - 1].strip() if finding.line <= len(lines) else ""
    return sha256("\0".join([finding.rule, finding.file, line]).encode()).hexdigest()[:32]
