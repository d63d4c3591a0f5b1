//! Conditions of a run: machine, commit, date, load.

use std::path::Path;

use tokio::time::Instant;

use crate::processes::output;

/// Conditions recorded at the start of a run.
pub(crate) struct Conditions {
    bench: &'static str,
    started: Instant,
    load: String,
    /// Set if the servers had a core of their own; `None` if that was not wanted.
    pub(crate) pinned: Option<bool>,
}

impl Conditions {
    pub(crate) fn begin(bench: &'static str) -> Self {
        Self {
            bench,
            started: Instant::now(),
            load: load(),
            pinned: None,
        }
    }

    /// Formats the conditions as Markdown; call at the end of the run.
    pub(crate) async fn to_markdown(&self) -> String {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let git =
            async |arguments: &[&str]| output("git", arguments, here).await.unwrap_or_default();
        let changed = git(&[
            "status",
            "--porcelain",
            "--",
            "src",
            "benches",
            "Cargo.lock",
        ])
        .await;
        let commit = git(&["rev-parse", "--short", "HEAD"]).await;
        let date = output("date", &["-u", "+%Y-%m-%d %H:%M UTC"], here)
            .await
            .unwrap_or_default();
        let mut rows = vec![
            ("machine", machine()),
            ("kernel", read("/proc/sys/kernel/osrelease")),
            (
                "commit",
                commit
                    + if changed.is_empty() {
                        ""
                    } else {
                        ", with changes"
                    },
            ),
            ("date", date),
            ("command", command(self.bench)),
            (
                "load average",
                format!("{} at the begin, {} at the end", self.load, load()),
            ),
            (
                "duration",
                format!("{} s", self.started.elapsed().as_secs()),
            ),
        ];
        if let Some(is_pinned) = self.pinned {
            let cores = if is_pinned {
                "server on 0, all else on 1, in P1 to P5"
            } else {
                "not pinned"
            };
            rows.push(("cores", cores.to_owned()));
        }
        rows.iter()
            .map(|(name, value)| format!("- {name}: {value}\n"))
            .collect()
    }
}

fn command(bench: &str) -> String {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words = if words.is_empty() {
        String::new()
    } else {
        format!(" -- {}", words.join(" "))
    };
    format!("`cargo bench --bench {bench}{words}`")
}

fn machine() -> String {
    let about_cpu = read("/proc/cpuinfo");
    let model = about_cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory = read("/proc/meminfo");
    let memory = memory
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let cores = about_cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let model = model.map_or("unknown CPU", |(_, model)| model);
    format!(
        "{cores} × {model}, {} GiB",
        memory.unwrap_or(0) / (1024 * 1024)
    )
}

fn load() -> String {
    read("/proc/loadavg")
        .split(' ')
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}
