//! A run, from the first process to the last.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use messages_stand_in::{RecordLimits, Settings, StandIn};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

use crate::Options;
use crate::charges::{self, Calls};
use crate::crowd::Crowd;
use crate::disk::Disk;
use crate::doors::Client;
use crate::faults::{Schedule, Target};
use crate::journal::Journal;
use crate::processes;
use crate::samples::Series;
use crate::server::Server;
use crate::verdicts::Findings;

/// Seconds for which the capacity is measured.
const MEASURED_SECONDS: f64 = 15.0;
/// The part of the capacity that is asked for.
const LOAD: f64 = 2.0 / 3.0;
/// From one look at the server to the next.
const LOOK: Duration = Duration::from_secs(10);
/// How long the last requests and runs may take.
const DEADLINE: Duration = Duration::from_secs(300);

/// Everything that takes part.
struct Stage {
    target: Target,
    crowd: Crowd,
    /// The clients with budgets, with the ids of their keys.
    accounts: Vec<(Client, String)>,
    calls: Calls,
    series: Series,
    folder: TempDir,
}

/// Runs it all; gives what was found, and what is to be said about the run.
pub(crate) async fn run(options: &Options) -> anyhow::Result<(Findings, String)> {
    let mut stage = Stage::set(options).await?;
    let journal = Arc::clone(&stage.target.journal);
    let rate = match options.rate {
        Some(rate) => rate,
        None => stage.crowd.capacity(MEASURED_SECONDS).await * LOAD,
    };
    anyhow::ensure!(rate > 0.0, "nothing was answered while the capacity was measured");
    let seconds = options.minutes * 60.0;
    let schedule = Schedule::of(seconds);
    let (begun, disk) = (
        journal.now(),
        if stage.target.disk.is_own() { "of its own, in memory" } else { "shared: no fault of a full disk" },
    );
    let about = format!(
        "- load: {rate:.1} calls a second ({})\n- disk: {disk}\n- faults: one every {:.0} s\n",
        options.rate.map_or("two thirds of what was measured", |_| "as was asked for"),
        schedule.slot
    );
    journal.say(about.trim());
    stage.go_on(rate, begun + seconds, schedule).await?;
    let findings = stage.add_up(begun).await?;
    Ok((findings, about))
}

impl Stage {
    async fn set(options: &Options) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let disk = Disk::make(options.disk_mib, folder.path())?;
        // All that is recorded between two looks, with room to spare.
        let record = RecordLimits { requests: 4000, ..RecordLimits::default() };
        let upstream = StandIn::start_with(Settings { record, ..Settings::default() }).await?;
        let own = || Path::new(env!("CARGO_BIN_EXE_claude-switchboard")).to_owned();
        let program = std::path::absolute(options.server.clone().unwrap_or_else(own))?;
        let cli: PathBuf = processes::real_cli()?;
        let server = Server::start(program, cli, upstream.base_url(), disk.data_dir(), folder.path()).await?;
        let journal = Arc::new(Journal::new());
        let http =
            reqwest::Client::builder().no_proxy().pool_idle_timeout(Duration::from_secs(20)).build()?;
        let base = server.url("");
        let client = async |name: &'static str, limits: Value| {
            let mut body = json!({"name": name});
            body.as_object_mut()
                .context("an object")?
                .extend(limits.as_object().cloned().unwrap_or_default());
            let made = server.admin("/admin/keys", Some(&body)).await?;
            let (key, id) = (made["key"].as_str().context("no key")?, made["id"].as_str().context("no id")?);
            anyhow::Ok((Client::new(name, key, &base, http.clone(), Arc::clone(&journal)), id.to_owned()))
        };
        let budget = json!({"budget": {"monthly": {"tokens": 1_000_000_000_u64, "money": "100000"}}});
        let accounts = vec![client("b1", budget.clone()).await?, client("b2", budget).await?];
        let mut callers = vec![
            client("k1", json!({})).await?.0,
            client("k2", json!({})).await?.0,
            client("k3", json!({})).await?.0,
        ];
        callers.extend(accounts.iter().map(|(client, _)| client.clone()));
        let crowd = Crowd {
            callers,
            poor: client("poor", json!({"budget": {"monthly": {"tokens": 6_000}}})).await?.0,
            limited: client("limited", json!({"requests_per_minute": 4})).await?.0,
            server: server.address(),
            journal: Arc::clone(&journal),
        };
        let target = Target {
            server: Arc::new(Mutex::new(server)),
            upstream: Arc::new(upstream),
            disk: Arc::new(disk),
            journal,
        };
        Ok(Self { target, crowd, accounts, calls: Calls::default(), series: Series::default(), folder })
    }

    /// Has the crowd ask, faults come and the server be looked at, until `end`.
    async fn go_on(&mut self, rate: f64, end: f64, schedule: Schedule) -> anyhow::Result<()> {
        let (stop, stopped) = watch::channel(false);
        let target = self.target.clone();
        let faults = async {
            let suffered = target.suffer(schedule, end).await;
            if suffered.is_ok() {
                sleep(Duration::from_secs_f64((end - target.journal.now()).max(0.0))).await;
            }
            // The crowd has to be stopped in any case, or the run would never end.
            stop.send_replace(true);
            suffered
        };
        let crowd = &self.crowd;
        let work = async { tokio::join!(faults, crowd.drive(rate, &stopped)).0 };
        let (calls, series) = (&mut self.calls, &mut self.series);
        let looks = async {
            let mut since = target.journal.now();
            loop {
                sleep(LOOK).await;
                calls.count(&target.upstream);
                let server = target.server.lock().await;
                let figures = series.look(target.journal.now(), &server, &target.disk)?;
                drop(server);
                target.journal.say(&format!("{}; {figures}", target.journal.counts(since)));
                since = target.journal.now();
            }
        };
        let [mut interrupt, mut terminate] =
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        tokio::select! {
            done = work => done,
            broken = looks => broken,
            // What was started ends with what holds it, which a signal that is not caught would leave behind.
            _ = interrupt.recv() => anyhow::bail!("broken off"),
            _ = terminate.recv() => anyhow::bail!("broken off"),
        }
    }

    /// Asks the books, ends the server and looks at what is left.
    async fn add_up(mut self, begun: f64) -> anyhow::Result<Findings> {
        let (journal, mut server) = (&self.target.journal, self.target.server.lock().await);
        let seconds = journal.now();
        until_quiet(&server).await?;
        let events = journal.events();
        let mut accounts = Vec::new();
        for (client, id) in &self.accounts {
            let upstream = (&mut self.calls, &*self.target.upstream);
            accounts.push(charges::account(client, id, &server, &events, upstream).await?);
        }
        until_quiet(&server).await?;
        let mut ledger = Vec::new();
        let verified = server.admin("/admin/ledger/verify", None).await?;
        ledger.extend(verified["problems"].as_array().into_iter().flatten().map(Value::to_string));
        ledger.extend((verified["holds"] != 0).then(|| format!("{} holds are left", verified["holds"])));
        let mut remains = Vec::new();
        match server.end().await {
            Ok(left) => remains.extend((!left.is_empty()).then(|| format!("processes {left:?} are left"))),
            Err(error) => remains.push(format!("the end: {error:#}")),
        }
        match server.verify_offline().await {
            Ok(said) => journal.say(&said),
            Err(error) => ledger.push(format!("{error:#}")),
        }
        let log = server.log();
        remains.extend(log.lines().filter(|line| line.contains("panicked at")).take(5).map(str::to_owned));
        let courses = self.series.courses(begun, seconds);
        let findings = Findings { events, windows: journal.windows(), courses, accounts, ledger, remains };
        let path = server.log_path();
        drop(server);
        keep_log(self.folder, &path, journal);
        Ok(findings)
    }
}

/// Waits until nothing runs and nobody waits.
async fn until_quiet(server: &Server) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let ready = server.ready().await?;
        let is_zero = |pointer: &str| ready.pointer(pointer).and_then(Value::as_u64) == Some(0);
        if ["/waiting", "/workers/busy", "/workers/resetting", "/workers/starting"].into_iter().all(is_zero) {
            return Ok(());
        }
        anyhow::ensure!(begun.elapsed() < DEADLINE, "the server does not come to rest: {ready}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The log of the server outlives the run, for whoever wants to know why.
fn keep_log(folder: TempDir, log: &Path, journal: &Journal) {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak.log");
    if std::fs::copy(log, &kept).is_ok() {
        journal.say(&format!("the log of the server is {}", kept.display()));
    }
    drop(folder);
}
