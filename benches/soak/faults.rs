//! Injected faults and their schedule.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use messages_stand_in::StandIn;
use rustix::process::Signal;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::disk::Disk;
use crate::journal::Journal;
use crate::server::Server;

/// Fault of the server, its workers, its disk or its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    ServerKilled,
    WorkersKilled,
    UpstreamRateLimited,
    UpstreamFails,
    UpstreamOverloaded,
    StreamsInterrupted,
    UpstreamSlow,
    WorkerSuspended,
    WorkerSuspendedAndKilled,
    DiskFull,
}

/// Cycle of faults.
///
/// The server is killed early and in the first round only, so that the second and the last quarter
/// of a run measure the same process.
const FAULT_CYCLE: [Fault; 10] = [
    Fault::ServerKilled,
    Fault::WorkersKilled,
    Fault::UpstreamRateLimited,
    Fault::DiskFull,
    Fault::StreamsInterrupted,
    Fault::WorkerSuspended,
    Fault::UpstreamOverloaded,
    Fault::WorkerSuspendedAndKilled,
    Fault::UpstreamFails,
    Fault::UpstreamSlow,
];

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::ServerKilled => "the server is killed and started again",
            Self::WorkersKilled => "workers are killed",
            Self::UpstreamRateLimited => "upstream answers 429 with retry-after 1",
            Self::UpstreamFails => "upstream answers 500",
            Self::UpstreamOverloaded => "upstream answers 529",
            Self::StreamsInterrupted => "upstream interrupts each answer",
            Self::UpstreamSlow => "upstream is slow",
            Self::WorkerSuspended => "a worker is suspended, then resumed",
            Self::WorkerSuspendedAndKilled => "a worker is suspended, then killed",
            Self::DiskFull => "the disk is full",
        }
    }

    /// Returns the stand-in directives of an upstream fault.
    fn upstream(self) -> Option<&'static str> {
        match self {
            Self::UpstreamRateLimited => Some("[[status=429 retry_after=1 message=scripted]]"),
            Self::UpstreamFails => Some("[[status=500 message=scripted]]"),
            Self::UpstreamOverloaded => Some("[[status=529 message=scripted]]"),
            Self::StreamsInterrupted => Some("[[cut_after=4]]"),
            Self::UpstreamSlow => Some("[[headers_ms=1000 gap_ms=50]]"),
            _ => None,
        }
    }
}

/// Schedule of the faults, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// Interval from one fault to the next.
    pub(crate) slot: f64,
    /// Duration of a fault.
    pub(crate) hold: f64,
    /// Duration of the full disk.
    pub(crate) disk_hold: f64,
    /// Recovery time of the server after a fault.
    pub(crate) allowance: f64,
}

impl Schedule {
    pub(crate) fn for_duration(seconds: f64) -> Self {
        let slot = (seconds / 11.0).clamp(16.0, 150.0);
        Self {
            slot,
            hold: (slot / 4.0).min(20.0),
            disk_hold: (slot * 0.4).min(60.0),
            allowance: (slot / 2.0).min(30.0),
        }
    }
}

/// Targets of the faults.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) server: Arc<Mutex<Server>>,
    pub(crate) upstream: Arc<StandIn>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) journal: Arc<Journal>,
}

impl Target {
    /// Injects faults until no further one would end, including its recovery time, before `end`.
    ///
    /// Returns the faults that could not be injected.
    pub(crate) async fn inject_faults(&self, schedule: Schedule, end: f64) -> Vec<String> {
        let mut failed = Vec::new();
        let mut due = self.journal.now() + schedule.slot / 4.0;
        for (number, fault) in FAULT_CYCLE.into_iter().cycle().enumerate() {
            let hold = if fault == Fault::DiskFull {
                schedule.disk_hold
            } else {
                schedule.hold
            };
            if due + hold + schedule.allowance > end {
                break;
            }
            let is_again = number >= FAULT_CYCLE.len();
            if (fault == Fault::ServerKilled && is_again)
                || (fault == Fault::DiskFull && !self.disk.is_own())
            {
                continue;
            }
            sleep(Duration::from_secs_f64((due - self.journal.now()).max(0.0))).await;
            let window = self.journal.begin_fault(
                fault.name(),
                fault == Fault::ServerKilled,
                schedule.allowance,
            );
            let note = self
                .inject_fault(fault, Duration::from_secs_f64(hold), number)
                .await;
            let note = note.unwrap_or_else(|error| {
                failed.push(format!("{}: {error:#}", fault.name()));
                format!("FAILED: {error:#}")
            });
            self.journal.end_fault(window, note);
            // After a fault that took too long, the next one still waits for the recovery time.
            due = (due + schedule.slot).max(self.journal.now() + schedule.allowance);
        }
        failed
    }

    async fn inject_fault(
        &self,
        fault: Fault,
        hold: Duration,
        number: usize,
    ) -> anyhow::Result<String> {
        if let Some(directives) = fault.upstream() {
            self.upstream.inject(directives)?;
            sleep(hold).await;
            self.upstream.inject("")?;
            return Ok(format!("`{directives}`"));
        }
        match fault {
            Fault::ServerKilled => {
                let mut server = self.server.lock().await;
                server.kill().await?;
                let killed = self.journal.now();
                server.run().await?;
                let ready = self.journal.now() - killed;
                // Reads every record, so that the store's page cache is full from here on.
                server.admin("/admin/store/verify", None).await?;
                Ok(format!("ready {ready:.1} s after the kill"))
            }
            Fault::DiskFull => {
                let mib = self.disk.fill()?;
                sleep(hold).await;
                self.disk.free()?;
                Ok(format!("{mib} MiB allocated"))
            }
            Fault::WorkersKilled => {
                let mut killed = 0;
                for index in 0..3 {
                    killed += usize::from(
                        self.signal_worker(number + index, Signal::KILL)
                            .await
                            .is_some(),
                    );
                    sleep(hold / 3).await;
                }
                Ok(format!("{killed} killed"))
            }
            _ => self.suspend_worker(fault, hold, number).await,
        }
    }

    async fn suspend_worker(
        &self,
        fault: Fault,
        hold: Duration,
        number: usize,
    ) -> anyhow::Result<String> {
        let worker = self
            .signal_worker(number, Signal::STOP)
            .await
            .context("there is no worker to suspend")?;
        sleep(hold).await;
        let (signal, what) = match fault {
            Fault::WorkerSuspended => (Signal::CONT, "resumed"),
            _ => (Signal::KILL, "killed"),
        };
        let is_there = self.server.lock().await.signal(worker, signal);
        Ok(if is_there {
            what
        } else {
            "already ended by the server"
        }
        .to_owned())
    }

    /// Sends a signal to one of the current workers and returns its id.
    async fn signal_worker(&self, index: usize, signal: Signal) -> Option<u32> {
        let server = self.server.lock().await;
        let workers = server.workers();
        let worker = *workers.get(index.checked_rem(workers.len())?)?;
        server.signal(worker, signal).then_some(worker)
    }
}
