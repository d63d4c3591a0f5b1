//! Sequence of a run: setup, load with faults, evaluation.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::stream;
use futures::{StreamExt as _, TryStreamExt as _};
use messages_stand_in::{RecordLimits, Settings, StandIn};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

use crate::Options;
use crate::charges::{self, KeyCharges, UpstreamCalls};
use crate::disk::Disk;
use crate::endpoints::Client;
use crate::evaluation::Findings;
use crate::faults::{Schedule, Target};
use crate::journal::Journal;
use crate::load_generator::LoadGenerator;
use crate::processes;
use crate::samples::SnapshotSeries;
use crate::server::Server;

/// Duration of the capacity measurement, in seconds.
const MEASURED_SECONDS: f64 = 15.0;
/// Load as a share of the capacity.
const LOAD_SHARE: f64 = 2.0 / 3.0;
/// Interval of snapshots of the server.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum time for the last requests to end.
const DEADLINE: Duration = Duration::from_secs(300);

/// State of a run.
struct SoakRun {
    target: Target,
    load: LoadGenerator,
    /// Clients with budgets, with the ids of their keys.
    accounts: Vec<(Client, String)>,
    calls: UpstreamCalls,
    series: SnapshotSeries,
    folder: TempDir,
}

/// Runs the whole test and returns its findings and a description of the run.
pub(crate) async fn run(options: &Options) -> anyhow::Result<(Findings, String)> {
    let mut soak = SoakRun::prepare(options).await?;
    let journal = Arc::clone(&soak.target.journal);
    let rate = match options.rate {
        Some(rate) => rate,
        None => soak.load.capacity(MEASURED_SECONDS).await * LOAD_SHARE,
    };
    anyhow::ensure!(
        rate > 0.0,
        "nothing was answered while the capacity was measured"
    );
    let seconds = options.minutes * 60.0;
    let schedule = Schedule::for_duration(seconds);
    let started = journal.now();
    let disk = if soak.target.disk.is_own() {
        "separate tmpfs"
    } else {
        "shared: no fault of a full disk"
    };
    let program = program(options)?;
    let shown = program
        .strip_prefix(env!("CARGO_MANIFEST_DIR"))
        .unwrap_or(&program)
        .display();
    let about = format!(
        "- server: {shown}\n- load: {rate:.1} calls a second ({})\n- disk: {disk}\n- faults: one every {:.0} s\n",
        options
            .rate
            .map_or("two thirds of the measured capacity", |_| "as requested"),
        schedule.slot
    );
    journal.print(about.trim());
    let failed = soak
        .run_load_and_faults(rate, started + seconds, schedule)
        .await?;
    let findings = soak.evaluate(started, failed).await;
    Ok((findings, about))
}

impl SoakRun {
    async fn prepare(options: &Options) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let disk = Disk::create(options.disk_mib, folder.path())?;
        // More requests than are recorded between two snapshots.
        let record = RecordLimits {
            requests: 4000,
            ..RecordLimits::default()
        };
        let upstream = StandIn::start_with(Settings {
            record,
            ..Settings::default()
        })
        .await?;
        let program = program(options)?;
        let cli: PathBuf = processes::real_cli()?;
        let server = Server::start(
            program,
            cli,
            upstream.base_url(),
            disk.data_dir(),
            folder.path(),
        )
        .await?;
        let journal = Arc::new(Journal::new());
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_idle_timeout(Duration::from_secs(20))
            .build()?;
        let base = server.url("");
        let client = async |name: &'static str, limits: Value| {
            let mut body = json!({"name": name});
            body.as_object_mut()
                .context("an object")?
                .extend(limits.as_object().cloned().unwrap_or_default());
            let created = server.admin("/admin/keys", Some(&body)).await?;
            let key = created["key"].as_str().context("no key")?;
            let id = created["id"].as_str().context("no id")?;
            anyhow::Ok((
                Client::new(name, key, &base, http.clone(), Arc::clone(&journal)),
                id.to_owned(),
            ))
        };
        fill(&client("filler", json!({})).await?.0).await?;
        let budget =
            json!({"budget": {"monthly": {"tokens": 1_000_000_000_u64, "money": "100000"}}});
        let accounts = vec![
            client("b1", budget.clone()).await?,
            client("b2", budget).await?,
        ];
        let mut callers = vec![
            client("k1", json!({})).await?.0,
            client("k2", json!({})).await?.0,
            client("k3", json!({})).await?.0,
        ];
        callers.extend(accounts.iter().map(|(client, _)| client.clone()));
        let load = LoadGenerator {
            callers,
            low_budget: client(
                "low_budget",
                json!({"budget": {"monthly": {"tokens": 6_000}}}),
            )
            .await?
            .0,
            rate_limited: client("rate_limited", json!({"requests_per_minute": 4}))
                .await?
                .0,
            server: server.address(),
            journal: Arc::clone(&journal),
        };
        let target = Target {
            server: Arc::new(Mutex::new(server)),
            upstream: Arc::new(upstream),
            disk: Arc::new(disk),
            journal,
        };
        Ok(Self {
            target,
            load,
            accounts,
            calls: UpstreamCalls::default(),
            series: SnapshotSeries::default(),
            folder,
        })
    }

    /// Runs load, faults and snapshots until `end`; returns the faults that could not be injected.
    async fn run_load_and_faults(
        &mut self,
        rate: f64,
        end: f64,
        schedule: Schedule,
    ) -> anyhow::Result<Vec<String>> {
        let (stop, stopped) = watch::channel(false);
        let target = self.target.clone();
        let faults = async {
            let failed = target.inject_faults(schedule, end).await;
            sleep(Duration::from_secs_f64(
                (end - target.journal.now()).max(0.0),
            ))
            .await;
            stop.send_replace(true);
            failed
        };
        let load = &self.load;
        let work = async { tokio::join!(faults, load.drive(rate, &stopped)).0 };
        let calls = &mut self.calls;
        let series = &mut self.series;
        let snapshots = async {
            let mut since = target.journal.now();
            loop {
                sleep(SNAPSHOT_INTERVAL).await;
                calls.count(&target.upstream);
                let server = target.server.lock().await;
                let figures = series.snapshot(target.journal.now(), &server, &target.disk);
                drop(server);
                // A crashed server is found by the failures of its clients.
                let figures = figures.unwrap_or_else(|error| format!("no figures: {error:#}"));
                target.journal.print(&format!(
                    "{}; {figures}",
                    target.journal.outcome_summary(since)
                ));
                since = target.journal.now();
            }
        };
        let [mut interrupt, mut terminate] = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ];
        tokio::select! {
            failed = work => Ok(failed),
            () = snapshots => Ok(Vec::new()),
            // Without a handler, a signal would leave the started processes behind as orphans.
            _ = interrupt.recv() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("interrupted"),
        }
    }

    /// Checks the charges, stops the server and looks for leftovers; every error becomes a finding.
    async fn evaluate(mut self, started: f64, mut remains: Vec<String>) -> Findings {
        let ended = self.target.journal.now();
        let server = Arc::clone(&self.target.server);
        let journal = Arc::clone(&self.target.journal);
        let mut server = server.lock().await;
        let mut accounts = Vec::new();
        let mut ledger = Vec::new();
        if let Err(error) = self
            .check_charges(&server, &mut accounts, &mut ledger)
            .await
        {
            remains.push(format!("the charges cannot be checked: {error:#}"));
        }
        match server.end().await {
            Ok(left) => {
                remains.extend((!left.is_empty()).then(|| format!("processes {left:?} are left")));
            }
            Err(error) => remains.push(format!("shutdown: {error:#}")),
        }
        match server.verify_offline().await {
            Ok(text) => journal.print(&text),
            Err(error) => ledger.push(format!("{error:#}")),
        }
        let log = server.log();
        remains.extend(
            log.lines()
                .filter(|line| line.contains("panicked at"))
                .take(5)
                .map(str::to_owned),
        );
        let courses = self.series.courses(started, ended);
        keep_log(self.folder, &server.log_path(), &journal);
        Findings {
            events: journal.events(),
            windows: journal.windows(),
            courses,
            accounts,
            ledger,
            remains,
        }
    }

    async fn check_charges(
        &mut self,
        server: &Server,
        accounts: &mut Vec<KeyCharges>,
        ledger: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        wait_until_quiet(server).await?;
        let events = self.target.journal.events();
        for (client, id) in &self.accounts {
            let upstream = (&mut self.calls, &*self.target.upstream);
            accounts.push(charges::collect_charges(client, id, server, &events, upstream).await?);
        }
        wait_until_quiet(server).await?;
        if !accounts.iter().all(KeyCharges::is_right) {
            // Its charges tell which of them is wrong.
            server
                .save_ledger(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak-ledger.txt"))
                .await?;
        }
        let verified = server.admin("/admin/ledger/verify", None).await?;
        ledger.extend(
            verified["problems"]
                .as_array()
                .into_iter()
                .flatten()
                .map(Value::to_string),
        );
        ledger.extend(
            (verified["holds"] != 0).then(|| format!("{} holds are left", verified["holds"])),
        );
        Ok(())
    }
}

/// Returns the path of the server program: the given one, or that of this build.
fn program(options: &Options) -> std::io::Result<PathBuf> {
    let own = || PathBuf::from(env!("CARGO_BIN_EXE_claude-switchboard"));
    std::path::absolute(options.server.clone().unwrap_or_else(own))
}

/// Waits until no worker is busy and no request is queued.
async fn wait_until_quiet(server: &Server) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let ready = server.ready().await?;
        let is_zero = |pointer: &str| ready.pointer(pointer).and_then(Value::as_u64) == Some(0);
        if [
            "/waiting",
            "/workers/busy",
            "/workers/resetting",
            "/workers/starting",
        ]
        .into_iter()
        .all(is_zero)
        {
            return Ok(());
        }
        anyhow::ensure!(
            started.elapsed() < DEADLINE,
            "the server does not become idle: {ready}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// Copies the server's log out of the temporary folder, for later analysis.
fn keep_log(folder: TempDir, log: &Path, journal: &Journal) {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak.log");
    if std::fs::copy(log, &copy).is_ok() {
        journal.print(&format!("the log of the server is {}", copy.display()));
    }
    drop(folder);
}

/// Conversations that lie in the store from the beginning, so that the store's page cache is full and what
/// the server takes up is that of one that has run for long.
const CONVERSATIONS: usize = 20_000;

/// Makes [`CONVERSATIONS`] side by side.
async fn fill(client: &Client) -> anyhow::Result<()> {
    let item = json!({"type": "message", "role": "user", "content": "x".repeat(600)});
    let body = json!({"items": [item]});
    stream::iter(0..CONVERSATIONS)
        .map(|_| async {
            let created = client.post("/v1/conversations", &body).send().await?;
            created.error_for_status()?;
            anyhow::Ok(())
        })
        .buffer_unordered(64)
        .try_collect()
        .await
}
