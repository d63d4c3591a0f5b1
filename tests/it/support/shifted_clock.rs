//! A wrong clock for a server process.

use std::process::Command;

use tempfile::TempDir;

use super::server::Builder;

/// Library that replaces the C library's reading of the wall clock. Its setting begins with `LD_`,
/// because the server keeps such variables when it executes itself again without secrets.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    const char *shift = getenv("LD_CLOCK_SHIFT");
    if (result == 0 && clock == CLOCK_REALTIME && shift)
        time->tv_sec += atol(shift);
    return result;
}
"#;

/// Library that shifts the wall clock of a process, and leaves the clock that only goes forward.
pub(crate) struct ShiftedClock(TempDir);

impl ShiftedClock {
    /// Compiles the library, by the C compiler that links the server.
    #[expect(clippy::disallowed_methods, reason = "the compiler of the library")]
    pub(crate) fn compile() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("clock.c");
        std::fs::write(&source, SOURCE).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]);
        compiler.arg(folder.path().join("clock.so")).arg(source);
        let status = compiler.status().unwrap_or_else(|error| {
            panic!("cc cannot be started: {error}\nhint: install a C compiler")
        });
        assert!(status.success(), "{status}");
        Self(folder)
    }

    /// Sets the clock of a server process `seconds` forward, or back.
    pub(crate) fn shift(&self, server: Builder, seconds: i64) -> Builder {
        let library = self.0.path().join("clock.so");
        server
            .set("LD_PRELOAD", library.display())
            .set("LD_CLOCK_SHIFT", seconds)
    }
}
