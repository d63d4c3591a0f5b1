"""Reads from a binary which system it needs: processor, libraries and the least version of glibc or macOS."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from .error import PackageError

ELF_PROCESSORS = {62: "x86_64", 183: "aarch64"}
MACH_PROCESSORS = {0x01000007: "x86_64", 0x0100000C: "arm64"}
# Libraries that belong to glibc, and are on every Linux with it.
GLIBC = re.compile(r"(libc|libm|libdl|librt|libpthread|libutil|ld-linux-x86-64|ld-linux-aarch64)\.so\.\d+$")
SECTION_DYNAMIC, SECTION_NEEDED_VERSIONS = 6, 0x6FFFFFFE
TAG_NEEDED = 1
LOAD_BUILD_VERSION, LOAD_MINIMUM_MACOS = 0x32, 0x24


@dataclass(frozen=True)
class Needs:
    """System that a binary runs on."""

    system: str
    """`linux` or `macos`."""
    processor: str
    """As in target names of Rust: `x86_64` or `aarch64`."""
    version: tuple[int, int]
    """Least version of glibc or of macOS."""
    libraries: tuple[str, ...]
    """Shared libraries that are not part of glibc or macOS."""

    @property
    def target(self) -> str:
        """Target of Rust."""
        return f"{self.processor}-" + ("unknown-linux-gnu" if self.system == "linux" else "apple-darwin")

    @property
    def debian_architecture(self) -> str:
        """Architecture as Debian names it."""
        return {"x86_64": "amd64", "aarch64": "arm64"}[self.processor]

    @property
    def node_platform(self) -> str:
        """Platform as Node.js names it: `linux-x64`."""
        system = {"linux": "linux", "macos": "darwin"}[self.system]
        return f"{system}-" + {"x86_64": "x64", "aarch64": "arm64"}[self.processor]

    @property
    def wheel_platform(self) -> str:
        """Platform tag of a wheel (PEP 600 for Linux)."""
        major, minor = self.version
        if self.system == "linux":
            return f"manylinux_{major}_{minor}_{self.processor}"
        # Since macOS 11 pip knows the major version alone.
        return f"macosx_{major}_{0 if major > 10 else minor}_" + self.processor.replace("aarch64", "arm64")


def read_needs(path: Path) -> Needs:
    """Returns what the binary at `path` needs."""
    content = path.read_bytes()
    if content[:6] == b"\x7fELF\x02\x01":
        return _read_elf(path, content)
    if content[:4] == b"\xcf\xfa\xed\xfe":
        return _read_mach(path, content)
    raise PackageError(f"{path} is no program for 64-bit Linux or macOS", "name the built program as BINARY=...")


def _text(content: bytes, start: int) -> str:
    return content[start : content.index(b"\0", start)].decode()


def _read_elf(path: Path, content: bytes) -> Needs:
    (machine,) = struct.unpack_from("<H", content, 18)
    (sections_at,) = struct.unpack_from("<Q", content, 40)
    size, count = struct.unpack_from("<HH", content, 58)
    if machine not in ELF_PROCESSORS:
        raise PackageError(f"{path} is for another processor (ELF machine {machine})", "packages are made for x86-64 and 64-bit ARM")
    # Type, offset, size, link and number of entries of each section.
    sections = []
    for index in range(count):
        _, kind, _, _, offset, length, link, info = struct.unpack_from("<IIQQQQII", content, sections_at + index * size)
        sections.append((kind, offset, length, link, info))
    versions, libraries = set[tuple[int, ...]](), set[str]()
    for kind, offset, length, link, info in sections:
        strings = sections[link][1] if link < len(sections) else 0
        if kind == SECTION_DYNAMIC:
            for entry in range(offset, offset + length, 16):
                tag, value = struct.unpack_from("<QQ", content, entry)
                if tag == TAG_NEEDED:
                    libraries.add(_text(content, strings + value))
        elif kind == SECTION_NEEDED_VERSIONS:
            versions.update(_needed_glibc(content, offset, info, strings))
    if not versions:
        raise PackageError(f"{path} does not use glibc", "build it for a target that ends in -linux-gnu")
    newest = max(versions)
    others = tuple(sorted(name for name in libraries if not GLIBC.match(name)))
    return Needs("linux", ELF_PROCESSORS[machine], (newest[0], newest[1]), others)


def _needed_glibc(content: bytes, offset: int, files: int, strings: int) -> set[tuple[int, ...]]:
    """Reads the versions of glibc's symbols, as (2, 34)."""
    found = set[tuple[int, ...]]()
    for _ in range(files):
        _, symbols, _, first, following = struct.unpack_from("<HHIII", content, offset)
        at = offset + first
        for _ in range(symbols):
            _, _, _, name, step = struct.unpack_from("<IHHII", content, at)
            version = _text(content, strings + name)
            if version.startswith("GLIBC_2"):
                found.add(tuple(int(part) for part in version.removeprefix("GLIBC_").split(".")))
            at += step
        offset += following
    return found


def _read_mach(path: Path, content: bytes) -> Needs:
    (processor,) = struct.unpack_from("<I", content, 4)
    (commands,) = struct.unpack_from("<I", content, 16)
    at, version = 32, (0, 0)
    for _ in range(commands):
        command, size = struct.unpack_from("<II", content, at)
        if command in (LOAD_BUILD_VERSION, LOAD_MINIMUM_MACOS):
            (packed,) = struct.unpack_from("<I", content, at + (12 if command == LOAD_BUILD_VERSION else 8))
            version = (packed >> 16, packed >> 8 & 0xFF)
        at += size
    if processor not in MACH_PROCESSORS or version == (0, 0):
        raise PackageError(f"{path} names no processor or version of macOS", "build it for aarch64-apple-darwin or x86_64-apple-darwin")
    name = MACH_PROCESSORS[processor].replace("arm64", "aarch64")
    return Needs("macos", name, version, ())
