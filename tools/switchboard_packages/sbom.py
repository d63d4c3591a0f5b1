"""The software bill of materials in the format CycloneDX 1.6: the crates that are linked into the binary."""

import json
import subprocess
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .binary import Needs
from .error import PackageError
from .project import NAME, ROOT, release_time, version

# Licences that crates name in the old form of Cargo, with a slash for `or`.
OLD_OR = "/"


def build(needs: Needs, out: Path) -> Path:
    """Writes the bill for the binary's target into `out`."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", needs.target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackageError(f"cargo metadata failed: {done.stderr.strip()}", "crates.io has to be reachable, and Cargo.lock up to date")
    path = out / f"{NAME}-{version()}-{needs.target}.cdx.json"
    path.write_text(json.dumps(bill(json.loads(done.stdout), needs.target), indent=1) + "\n")
    return path


def bill(metadata: dict[str, Any], target: str) -> dict[str, Any]:
    """Returns the bill of a build that `cargo metadata` describes."""
    packages = {package["id"]: package for package in metadata["packages"]}
    edges = {node["id"]: _linked(node) for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    reached, waiting = {root}, [root]
    while waiting:
        new = [key for key in edges[waiting.pop()] if key not in reached]
        reached.update(new)
        waiting.extend(new)
    sums = _checksums()
    others = sorted(reached - {root}, key=lambda key: (packages[key]["name"], packages[key]["version"]))
    references = {key: _reference(packages[key]) for key in reached}
    name = f"{NAME} {version()} {target}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(release_time(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "component": _component(packages[root], {}, "application"),
            "properties": [{"name": f"{NAME}:target", "value": target}],
        },
        "components": [_component(packages[key], sums, "library") for key in others],
        "dependencies": [{"ref": references[key], "dependsOn": sorted({references[other] for other in edges[key]})} for key in [root, *others]],
    }


def _linked(node: dict[str, Any]) -> list[str]:
    """Returns the dependencies that are compiled into a build, without those of tests."""
    return [edge["pkg"] for edge in node["deps"] if any(kind["kind"] != "dev" for kind in edge["dep_kinds"])]


def _reference(package: dict[str, Any]) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def _component(package: dict[str, Any], sums: dict[tuple[str, str], str], kind: str) -> dict[str, Any]:
    reference = _reference(package)
    component: dict[str, Any] = {"type": kind, "bom-ref": reference, "name": package["name"], "version": package["version"], "purl": reference}
    if package.get("description"):
        component["description"] = " ".join(package["description"].split())
    if package.get("license"):
        component["licenses"] = [{"expression": package["license"].replace(OLD_OR, " OR ")}]
    checksum = sums.get((package["name"], package["version"]))
    if checksum:
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package.get("repository"):
        component["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return component


def _checksums() -> dict[tuple[str, str], str]:
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return {(package["name"], package["version"]): package["checksum"] for package in locked if "checksum" in package}
