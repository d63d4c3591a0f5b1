"""Tests of what packages ask of a system: python3 -m unittest switchboard_packages.binary_tests, in tools/."""

import struct
import tempfile
import unittest
from pathlib import Path

from .binary import Needs, read_needs
from .deb import depends
from .error import PackageError
from .staging import commented, packaged_unit


def mach(processor: int, command: int, version: int) -> bytes:
    """Returns the head of a program for macOS with one load command."""
    head = struct.pack("<IIIIIIII", 0xFEEDFACF, processor, 0, 2, 1, 24, 0, 0)
    if command == 0x32:
        return head + struct.pack("<IIIIII", command, 24, 1, version, 0, 0)
    return head + struct.pack("<IIIIII", command, 24, version, 0, 0, 0)


class BinaryTests(unittest.TestCase):
    """Tags and dependencies."""

    def read(self, content: bytes) -> Needs:
        """Reads a program from its bytes."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "program"
            path.write_bytes(content)
            return read_needs(path)

    def test_program_of_this_linux_has_glibc_and_a_manylinux_tag(self) -> None:
        """The shell is a program that all Linux systems with glibc have."""
        shell = Path("/bin/bash")
        if not shell.exists() or shell.read_bytes()[:4] != b"\x7fELF":
            self.skipTest("no ELF program here")
        needs = read_needs(shell)
        self.assertEqual((needs.system, needs.version[0]), ("linux", 2))
        self.assertRegex(needs.wheel_platform, r"^manylinux_2_\d+_(x86_64|aarch64)$")
        self.assertTrue(any(name.startswith("libtinfo") for name in needs.libraries), needs.libraries)
        with self.assertRaises(PackageError):
            depends({"depends": "$auto"}, needs)

    def test_program_for_macos_names_its_least_version(self) -> None:
        """By either of the two load commands."""
        arm = self.read(mach(0x0100000C, 0x32, 11 << 16))
        self.assertEqual((arm.target, arm.wheel_platform, arm.node_platform), ("aarch64-apple-darwin", "macosx_11_0_arm64", "darwin-arm64"))
        intel = self.read(mach(0x01000007, 0x24, 10 << 16 | 12 << 8))
        self.assertEqual((intel.target, intel.wheel_platform), ("x86_64-apple-darwin", "macosx_10_12_x86_64"))

    def test_other_files_are_refused(self) -> None:
        """A script is no program to package."""
        with self.assertRaises(PackageError):
            self.read(b"#!/bin/sh\nexit 0\n")

    def test_libraries_become_packages(self) -> None:
        """As dpkg-shlibdeps would name them."""
        needs = Needs("linux", "x86_64", (2, 34), ("libgcc_s.so.1",))
        self.assertEqual(depends({"depends": "$auto, x"}, needs), "libc6 (>= 2.34), libgcc-s1 (>= 4.2), x")

    def test_configuration_is_commented_and_tables_stay(self) -> None:
        """So that one key alone can be turned on."""
        text = commented('# The defaults.\n\n# A part.\n[server]\n# Address.\nlisten = "x"\nlist = [\n    1,\n]\n[[hooks]]\n')
        self.assertTrue(text.endswith('\n\n# A part.\n[server]\n# Address.\n#listen = "x"\n#list = [\n#    1,\n#]\n#[[hooks]]\n'), text)

    def test_unit_starts_the_packaged_program(self) -> None:
        """The unit of deploy/ has it in /usr/local/bin."""
        unit = packaged_unit("# By hand.\n[Unit]\n[Service]\nExecStart=/usr/local/bin/claude-switchboard serve\n")
        self.assertIn("ExecStart=/usr/bin/claude-switchboard serve\n", unit)
        self.assertNotIn("By hand", unit)
        with self.assertRaises(PackageError):
            packaged_unit("[Unit]\n")


if __name__ == "__main__":
    unittest.main()
