//! Takes secrets out of the environment that the kernel shows of the server.
//!
//! `/proc/PID/environ` shows the variables that a program was started with, whatever it does later. So the server starts its own
//! program once more, in the same process, with harmless variables only. The others come on the standard input.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::process::Stdio;

use rustix::fs::MemfdFlags;
use rustix::fs::memfd_create;

use super::environment::Environment;

/// The variable that says that the others are on the standard input.
const MARK: &str = "SWITCHBOARD_ENVIRONMENT_ON_STDIN";

/// Variables that are no secrets and that libraries look for: a trailing `*` stands for any rest. All others are handed over.
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
    "TZ",
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
    "TOKIO_WORKER_THREADS",
    "LD_*",
    "MALLOC_*",
    "GLIBC_TUNABLES",
    "LLVM_PROFILE_FILE",
    "NOTIFY_SOCKET",
    "LISTEN_*",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
];

/// The variables of `environment`, once they are out of sight. Starts this program anew where they are not.
///
/// Comes back with an error beside them where that cannot be done; the server can do its work all the same.
pub fn conceal(environment: Environment) -> (Environment, Option<io::Error>) {
    if environment.get(MARK).is_some() {
        return match receive() {
            Ok(handed) => (environment.without(MARK).with(handed), None),
            Err(error) => (environment.without(MARK), Some(error)),
        };
    }
    let secret = environment.variables().filter(|(name, _)| !is_harmless(name));
    let secret: Vec<(String, String)> =
        secret.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if secret.is_empty() {
        return (environment, None);
    }
    let error = start_anew(&secret);
    (environment, Some(error))
}

fn is_harmless(name: &str) -> bool {
    HARMLESS.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    })
}

/// Replaces this program by itself, without `secret` in its environment. Comes back only when that fails.
fn start_anew(secret: &[(String, String)]) -> io::Error {
    match anew(secret) {
        // The id of the process, its descriptors and its place under a supervisor stay as they are.
        Ok(mut command) => command.exec(),
        Err(error) => error,
    }
}

#[expect(clippy::disallowed_methods, reason = "it starts nothing beside this process, but this process anew")]
fn anew(secret: &[(String, String)]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments);
    for (name, _) in secret {
        command.env_remove(name);
    }
    command.env(MARK, "1").stdin(Stdio::from(sealed(secret)?));
    Ok(command)
}

/// A file in memory alone that holds `secret`.
fn sealed(secret: &[(String, String)]) -> io::Result<File> {
    let mut file = File::from(memfd_create("environment", MemfdFlags::CLOEXEC)?);
    for (name, value) in secret {
        // Neither can hold a zero byte: the kernel ends them by it as well.
        write!(file, "{name}={value}\0")?;
    }
    file.rewind()?;
    Ok(file)
}

/// Reads what was handed over, and leaves nothing of it on the standard input.
fn receive() -> io::Result<Vec<(String, String)>> {
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text)?;
    // Whoever may open descriptors of this process would find it there.
    rustix::fs::ftruncate(io::stdin(), 0)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_handed_over_and_harmless_variables_stay() {
        for name in ["PATH", "HOME", "LC_ALL", "LD_LIBRARY_PATH", "TZ"] {
            assert!(is_harmless(name), "{name}");
        }
        for name in ["SWITCHBOARD_ADMIN_KEY", "ANTHROPIC_API_KEY", "HTTPS_PROXY", "PATHS", "REDIS_URL", ""] {
            assert!(!is_harmless(name), "{name}");
        }
    }

    #[test]
    fn what_is_sealed_is_read_as_it_was() {
        let secret = [("A", "1"), ("EMPTY", ""), ("LINES", "a=b\nc\n")];
        let secret = secret.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut text = String::new();
        sealed(&secret).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(parse(&text), secret);
    }

    #[test]
    fn nothing_is_started_anew_where_nothing_is_secret() {
        let environment: Environment = [("PATH", "/bin")].into_iter().collect();
        let (same, error) = conceal(environment.clone());
        assert!(same == environment && error.is_none());
    }
}
