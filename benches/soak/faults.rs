//! What goes wrong, when, and for how long.

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

/// Something that is done to the server or to what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    ServerKilled,
    WorkersKilled,
    LimitMet,
    Failing,
    Overloaded,
    StreamsBroken,
    Slow,
    WorkerStopped,
    WorkerStoppedAndKilled,
    DiskFull,
}

/// In this order; the server is killed in the first round only, early, so that the figures of one process fill the second
/// quarter of a run and the last.
const ROUND: [Fault; 10] = [
    Fault::ServerKilled,
    Fault::WorkersKilled,
    Fault::LimitMet,
    Fault::DiskFull,
    Fault::StreamsBroken,
    Fault::WorkerStopped,
    Fault::Overloaded,
    Fault::WorkerStoppedAndKilled,
    Fault::Failing,
    Fault::Slow,
];

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::ServerKilled => "the server is killed and started again",
            Self::WorkersKilled => "workers are killed",
            Self::LimitMet => "upstream answers 429 with retry-after 1",
            Self::Failing => "upstream answers 500",
            Self::Overloaded => "upstream answers 529",
            Self::StreamsBroken => "upstream breaks off each answer",
            Self::Slow => "upstream is slow",
            Self::WorkerStopped => "a worker is stopped, and goes on",
            Self::WorkerStoppedAndKilled => "a worker is stopped, then killed",
            Self::DiskFull => "the disk is full",
        }
    }

    /// What upstream does meanwhile, in directives of the stand-in.
    fn upstream(self) -> Option<&'static str> {
        match self {
            Self::LimitMet => Some("[[status=429 retry_after=1 message=scripted]]"),
            Self::Failing => Some("[[status=500 message=scripted]]"),
            Self::Overloaded => Some("[[status=529 message=scripted]]"),
            Self::StreamsBroken => Some("[[cut_after=4]]"),
            Self::Slow => Some("[[headers_ms=1000 gap_ms=50]]"),
            _ => None,
        }
    }
}

/// When faults come, by the length of a run, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// From one fault to the next.
    pub(crate) slot: f64,
    /// How long a fault lasts.
    pub(crate) hold: f64,
    /// Seconds for which the disk is full.
    pub(crate) disk_hold: f64,
    /// Seconds that the server has to recover after the end of a fault.
    pub(crate) allowance: f64,
}

impl Schedule {
    pub(crate) fn of(seconds: f64) -> Self {
        let slot = (seconds / 11.0).clamp(16.0, 150.0);
        Self {
            slot,
            hold: (slot / 4.0).min(20.0),
            disk_hold: (slot * 0.4).min(60.0),
            allowance: (slot / 2.0).min(30.0),
        }
    }
}

/// Everything that a fault may be done to.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) server: Arc<Mutex<Server>>,
    pub(crate) upstream: Arc<StandIn>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) journal: Arc<Journal>,
}

impl Target {
    /// Does one after the other, as long as each is over, with its allowance, by `end`; gives what could not be done.
    pub(crate) async fn suffer(&self, schedule: Schedule, end: f64) -> Vec<String> {
        let mut failed = Vec::new();
        let mut due = self.journal.now() + schedule.slot / 4.0;
        for (turn, fault) in ROUND.into_iter().cycle().enumerate() {
            let hold = if fault == Fault::DiskFull {
                schedule.disk_hold
            } else {
                schedule.hold
            };
            if due + hold + schedule.allowance > end {
                break;
            }
            let is_again = turn >= ROUND.len();
            if (fault == Fault::ServerKilled && is_again)
                || (fault == Fault::DiskFull && !self.disk.is_own())
            {
                continue;
            }
            sleep(Duration::from_secs_f64((due - self.journal.now()).max(0.0))).await;
            let window = self.journal.begin(
                fault.name(),
                fault == Fault::ServerKilled,
                schedule.allowance,
            );
            let note = self
                .inflict(fault, Duration::from_secs_f64(hold), turn)
                .await;
            let note = note.unwrap_or_else(|error| {
                failed.push(format!("{}: {error:#}", fault.name()));
                format!("FAILED: {error:#}")
            });
            self.journal.end(window, note);
            // A fault that took longer than it should leaves the next one its calm before.
            due = (due + schedule.slot).max(self.journal.now() + schedule.allowance);
        }
        failed
    }

    async fn inflict(&self, fault: Fault, hold: Duration, turn: usize) -> anyhow::Result<String> {
        if let Some(directives) = fault.upstream() {
            self.upstream.impose(directives)?;
            sleep(hold).await;
            self.upstream.impose("")?;
            return Ok(format!("`{directives}`"));
        }
        match fault {
            Fault::ServerKilled => {
                let mut server = self.server.lock().await;
                server.kill().await?;
                let killed = self.journal.now();
                server.run().await?;
                Ok(format!(
                    "ready {:.1} s after the kill",
                    self.journal.now() - killed
                ))
            }
            Fault::DiskFull => {
                let mib = self.disk.fill()?;
                sleep(hold).await;
                self.disk.free()?;
                Ok(format!("{mib} MiB taken away"))
            }
            Fault::WorkersKilled => {
                let mut killed = 0;
                for place in 0..3 {
                    killed +=
                        usize::from(self.signal_one(turn + place, Signal::KILL).await.is_some());
                    sleep(hold / 3).await;
                }
                Ok(format!("{killed} killed"))
            }
            _ => self.stop_one(fault, hold, turn).await,
        }
    }

    async fn stop_one(&self, fault: Fault, hold: Duration, turn: usize) -> anyhow::Result<String> {
        let worker = self
            .signal_one(turn, Signal::STOP)
            .await
            .context("there is no worker to stop")?;
        sleep(hold).await;
        let (signal, what) = match fault {
            Fault::WorkerStopped => (Signal::CONT, "goes on"),
            _ => (Signal::KILL, "killed"),
        };
        let is_there = self.server.lock().await.signal(worker, signal);
        Ok(if is_there {
            what
        } else {
            "the server had ended it"
        }
        .to_owned())
    }

    /// Sends a signal to one of the workers, of those that there are now.
    async fn signal_one(&self, place: usize, signal: Signal) -> Option<u32> {
        let server = self.server.lock().await;
        let workers = server.workers();
        let worker = *workers.get(place.checked_rem(workers.len())?)?;
        server.signal(worker, signal).then_some(worker)
    }
}
