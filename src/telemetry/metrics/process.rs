//! Figures of the process, under the names that Prometheus clients share.

use std::fs;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// Folder with an entry for each open file of the process.
const DESCRIPTORS: &str = if cfg!(target_os = "linux") {
    "/proc/self/fd"
} else {
    "/dev/fd"
};

/// Gauges of the process, read from `/proc` at each scrape. Without `/proc` there are no figures of
/// memory and threads.
#[derive(Debug, Clone, Default)]
pub(super) struct ProcessGauges {
    resident: Gauge,
    descriptors: Gauge,
    threads: Gauge,
    cpu: Counter<f64, AtomicU64>,
}

impl ProcessGauges {
    /// Registers the gauges without the prefix of the server's own metrics.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        let start: Gauge<f64, AtomicU64> = Gauge::default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        start.set(now.unwrap_or_default().as_secs_f64());
        registry.register(
            "process_start_time_seconds",
            "Time when the server was started, in seconds of Unix time",
            start,
        );
        let has_status = ProcessStatus::read().is_some();
        if has_status {
            registry.register(
                "process_resident_memory_bytes",
                "Resident memory, workers not included",
                gauges.resident.clone(),
            );
        }
        registry.register(
            "process_open_fds",
            "Open file descriptors",
            gauges.descriptors.clone(),
        );
        if has_status {
            registry.register("process_threads", "Threads", gauges.threads.clone());
        }
        registry.register(
            "process_cpu_seconds",
            "CPU time, workers not included",
            gauges.cpu.clone(),
        );
        gauges
    }

    /// Reads the figures; those that the system does not report keep their last value.
    pub(super) fn refresh(&self) {
        if let Ok(entries) = fs::read_dir(DESCRIPTORS) {
            self.descriptors
                .set(i64::try_from(entries.count()).unwrap_or(i64::MAX));
        }
        if let Some(status) = ProcessStatus::read() {
            self.resident.set(status.resident_bytes);
            self.threads.set(status.threads);
        }
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let seconds = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
        self.cpu
            .inner()
            .store(seconds.to_bits(), std::sync::atomic::Ordering::Relaxed);
    }
}

/// Lines of `/proc/self/status`.
#[derive(Debug, PartialEq, Eq)]
struct ProcessStatus {
    resident_bytes: i64,
    threads: i64,
}

impl ProcessStatus {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let number = |name: &str| -> Option<i64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            resident_bytes: number("VmRSS:")? * 1024,
            threads: number("Threads:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_of_a_process_is_parsed() {
        let text = "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t7\n";
        let expected = ProcessStatus {
            resident_bytes: 2 << 20,
            threads: 7,
        };
        assert_eq!(ProcessStatus::parse(text), Some(expected));
        assert_eq!(ProcessStatus::parse("Name:\tx\n"), None);
    }
}
