//! Processes as the program `ps` lists them, for systems without `/proc`.

use super::ProcessStat;

#[cfg(not(target_os = "linux"))]
const PS: &str = "/bin/ps";

/// Returns the states of all processes, or of the process `id`.
#[cfg(not(target_os = "linux"))]
pub(super) fn processes(id: Option<i32>) -> Vec<ProcessStat> {
    let id = id.map(|id| id.to_string());
    let which = match id.as_deref() {
        Some(id) => vec!["-p", id],
        None => vec!["-ax"],
    };
    let columns = ["-o", "pid=,ppid=,stat="];
    parse_processes(&run_ps(&[&which[..], &columns[..]].concat()))
}

/// Returns the ids of the processes that were started with the variable `name` set to `value`, as far
/// as this user may see their environment.
#[cfg(not(target_os = "linux"))]
pub(super) fn processes_with_variable(name: &str, value: &str) -> Vec<i32> {
    let listed = run_ps(&["-axww", "-E", "-o", "pid=,command="]);
    parse_marked(&listed, &format!("{name}={value}"))
}

/// Runs `ps` without an environment, which it would list as its own. Returns nothing if it fails.
#[cfg(not(target_os = "linux"))]
#[expect(
    clippy::disallowed_methods,
    reason = "the way to other processes where there is no /proc"
)]
fn run_ps(arguments: &[&str]) -> String {
    let mut ps = std::process::Command::new(PS);
    let listed = ps.args(arguments).env_clear().output();
    let listed = listed.map(|listed| listed.stdout).unwrap_or_default();
    String::from_utf8_lossy(&listed).into_owned()
}

/// Parses lines of process id, parent and state, such as `  7   1 Ss+`.
fn parse_processes(listed: &str) -> Vec<ProcessStat> {
    let parse = |line: &str| -> Option<ProcessStat> {
        let mut fields = line.split_whitespace();
        Some(ProcessStat {
            id: fields.next()?.parse().ok()?,
            parent: fields.next()?.parse().ok()?,
            is_zombie: fields.next()?.starts_with('Z'),
            started: 0,
        })
    };
    listed.lines().filter_map(parse).collect()
}

/// Parses lines of process id, command and environment, and returns the ids of those with `mark` as a
/// word.
fn parse_marked(listed: &str, mark: &str) -> Vec<i32> {
    let parse = |line: &str| -> Option<i32> {
        let mut words = line.split_whitespace();
        let id = words.next()?.parse().ok()?;
        words.any(|word| word == mark).then_some(id)
    };
    listed.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_parsed_from_the_columns() {
        let found = parse_processes("    1     0 Ss\n  77    12 Z+\nps: error\n");
        let stat = |id, parent, is_zombie| ProcessStat {
            id,
            parent,
            is_zombie,
            started: 0,
        };
        assert_eq!(found, [stat(1, 0, false), stat(77, 12, true)]);
    }

    #[test]
    fn marked_process_has_the_whole_variable_in_its_environment() {
        let listed = "  7 /usr/bin/claude -p HOME=/x INSTANCE=a-b PATH=/bin\n  8 claude INSTANCE=a-bc\n 9 claude\n";
        assert_eq!(parse_marked(listed, "INSTANCE=a-b"), [7]);
    }
}
