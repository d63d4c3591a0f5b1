//! Hides secrets from the environment that `/proc/PID/environ` shows.
//!
//! The kernel shows the variables that a program was started with, whatever the program does later.
//! So the server re-executes itself in the same process with harmless variables only, and passes
//! the others on standard input.

use std::fs::File;
use std::io;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::process::Stdio;

use super::environment::Environment;
use crate::runtime::platform;

/// Variable that marks a re-executed server, whose other variables are on standard input.
const HANDOVER_MARK: &str = "SWITCHBOARD_ENVIRONMENT_ON_STDIN";

/// Variables that are no secrets and that libraries read from the process environment; a trailing
/// `*` matches any rest. All others are handed over.
const HARMLESS: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PWD",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "LOCPATH",
    "TZ",
    "TZDIR",
    "HOSTNAME",
    // Read by the C library for host lookups.
    "HOSTALIASES",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    // Certificate authorities that webhook connections trust.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "TMPDIR",
    "XDG_*",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "CLICOLOR*",
    "COLUMNS",
    "LINES",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "RUST_MIN_STACK",
    "TOKIO_WORKER_THREADS",
    "LD_*",
    "MALLOC_*",
    "GLIBC_TUNABLES",
    "ASAN_OPTIONS",
    "LLVM_PROFILE_FILE",
    "NOTIFY_SOCKET",
    "LISTEN_*",
    "WATCHDOG_*",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
];

/// Variables read from standard input, and the error if they could not be erased there.
#[derive(Debug)]
struct ReceivedVariables {
    variables: Vec<(String, String)>,
    erase_error: Option<io::Error>,
}

/// Removes secrets from the environment that `/proc` shows by re-executing this program without
/// them, and returns all variables.
///
/// If the re-execution fails, returns with the error beside the variables; the server works all the
/// same.
///
/// # Errors
/// Fails when variables were handed over and cannot be read, because the server would run without
/// its keys.
pub fn hide_secrets(environment: Environment) -> io::Result<(Environment, Option<io::Error>)> {
    if environment.get(HANDOVER_MARK).is_some() {
        let ReceivedVariables {
            variables,
            erase_error: in_sight,
        } = receive(io::stdin().lock(), empty_stdin)?;
        return Ok((environment.without(HANDOVER_MARK).with(variables), in_sight));
    }
    let secret = environment
        .variables()
        .filter(|(name, _)| !is_harmless(name));
    let secret: Vec<(String, String)> = secret
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if secret.is_empty() {
        return Ok((environment, None));
    }
    let error = reexec(&secret);
    Ok((environment, Some(error)))
}

fn is_harmless(name: &str) -> bool {
    HARMLESS
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *pattern,
        })
}

/// Replaces this process image by the same program without `secret` in its environment. Returns
/// only on failure.
fn reexec(secret: &[(String, String)]) -> io::Error {
    match reexec_command(secret) {
        // `exec` keeps the process id, the open descriptors and the parent process (supervisor).
        Ok(mut command) => command.exec(),
        Err(error) => error,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it starts nothing beside this process, but this process anew"
)]
fn reexec_command(secret: &[(String, String)]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments);
    for (name, _) in secret {
        command.env_remove(name);
    }
    command
        .env(HANDOVER_MARK, "1")
        .stdin(Stdio::from(sealed(secret)?));
    Ok(command)
}

/// Creates a file without a name, on Linux in memory, that holds `secret`.
fn sealed(secret: &[(String, String)]) -> io::Result<File> {
    let mut file = platform::unnamed_file()?;
    for (name, value) in secret {
        // NUL is a safe separator: neither names nor values can contain it.
        write!(file, "{name}={value}\0")?;
    }
    file.rewind()?;
    Ok(file)
}

/// Reads the variables from `handed` and erases them with `erase`; a failure to erase keeps the
/// variables.
fn receive(
    mut handed: impl io::Read,
    erase: impl FnOnce() -> io::Result<()>,
) -> io::Result<ReceivedVariables> {
    let mut text = String::new();
    handed.read_to_string(&mut text)?;
    Ok(ReceivedVariables {
        variables: parse(&text),
        erase_error: erase().err(),
    })
}

/// Truncates standard input and replaces it by `/dev/null`, so that no process can read the
/// variables through `/proc/PID/fd`.
fn empty_stdin() -> io::Result<()> {
    rustix::fs::ftruncate(io::stdin(), 0)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(())
}

fn parse(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn only_secret_variables_are_handed_over() {
        for name in [
            "PATH",
            "HOME",
            "LC_ALL",
            "LD_LIBRARY_PATH",
            "TZ",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "RUST_MIN_STACK",
        ] {
            assert!(is_harmless(name), "{name}");
        }
        for name in [
            "SWITCHBOARD_ADMIN_KEY",
            "ANTHROPIC_API_KEY",
            "HTTPS_PROXY",
            "PATHS",
            "REDIS_URL",
            "SSL_KEY",
            "",
        ] {
            assert!(!is_harmless(name), "{name}");
        }
    }

    #[test]
    fn sealed_variables_round_trip() {
        let secret = [("A", "1"), ("EMPTY", ""), ("LINES", "a=b\nc\n")];
        let secret = secret.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut text = String::new();
        sealed(&secret).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(parse(&text), secret);
    }

    #[test]
    fn failed_erasure_keeps_the_received_variables() {
        let received = receive(&b"KEY=1\0"[..], || Err(io::Error::other("full"))).unwrap();
        assert_eq!(received.variables, [("KEY".to_owned(), "1".to_owned())]);
        assert!(received.erase_error.is_some());
        assert!(
            receive(&b"KEY=1\0"[..], || Ok(()))
                .unwrap()
                .erase_error
                .is_none()
        );
    }

    #[test]
    fn handed_over_variables_that_are_not_utf8_are_an_error() {
        assert!(receive(&b"KEY=\xff\0"[..], || Ok(())).is_err());
    }

    #[test]
    fn environment_without_secrets_needs_no_reexec() {
        let environment: Environment = [("PATH", "/bin")].into_iter().collect();
        let (same, error) = hide_secrets(environment.clone()).unwrap();
        assert!(same == environment && error.is_none());
    }
}
