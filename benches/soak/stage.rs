//! A run, from the first process to the last.

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
use crate::charges::{self, Account, Calls};
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
    anyhow::ensure!(
        rate > 0.0,
        "nothing was answered while the capacity was measured"
    );
    let seconds = options.minutes * 60.0;
    let schedule = Schedule::of(seconds);
    let (begun, disk) = (
        journal.now(),
        if stage.target.disk.is_own() {
            "of its own, in memory"
        } else {
            "shared: no fault of a full disk"
        },
    );
    let program = program(options)?;
    let shown = program
        .strip_prefix(env!("CARGO_MANIFEST_DIR"))
        .unwrap_or(&program)
        .display();
    let about = format!(
        "- server: {shown}\n- load: {rate:.1} calls a second ({})\n- disk: {disk}\n- faults: one every {:.0} s\n",
        options
            .rate
            .map_or("two thirds of what was measured", |_| "as was asked for"),
        schedule.slot
    );
    journal.say(about.trim());
    let failed = stage.go_on(rate, begun + seconds, schedule).await?;
    let findings = stage.add_up(begun, failed).await;
    Ok((findings, about))
}

impl Stage {
    async fn set(options: &Options) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let disk = Disk::make(options.disk_mib, folder.path())?;
        // All that is recorded between two looks, with room to spare.
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
            let made = server.admin("/admin/keys", Some(&body)).await?;
            let (key, id) = (
                made["key"].as_str().context("no key")?,
                made["id"].as_str().context("no id")?,
            );
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
        let crowd = Crowd {
            callers,
            poor: client("poor", json!({"budget": {"monthly": {"tokens": 6_000}}}))
                .await?
                .0,
            limited: client("limited", json!({"requests_per_minute": 4}))
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
            crowd,
            accounts,
            calls: Calls::default(),
            series: Series::default(),
            folder,
        })
    }

    /// Has the crowd ask, faults come and the server be looked at, until `end`; gives the faults that could not be made.
    async fn go_on(
        &mut self,
        rate: f64,
        end: f64,
        schedule: Schedule,
    ) -> anyhow::Result<Vec<String>> {
        let (stop, stopped) = watch::channel(false);
        let target = self.target.clone();
        let faults = async {
            let suffered = target.suffer(schedule, end).await;
            sleep(Duration::from_secs_f64(
                (end - target.journal.now()).max(0.0),
            ))
            .await;
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
                let figures = series.look(target.journal.now(), &server, &target.disk);
                drop(server);
                // A server that is gone by itself shows in what its clients meet.
                let figures = figures.unwrap_or_else(|error| format!("no figures: {error:#}"));
                target
                    .journal
                    .say(&format!("{}; {figures}", target.journal.counts(since)));
                since = target.journal.now();
            }
        };
        let [mut interrupt, mut terminate] = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ];
        tokio::select! {
            failed = work => Ok(failed),
            () = looks => Ok(Vec::new()),
            // What was started ends with what holds it, which a signal that is not caught would leave behind.
            _ = interrupt.recv() => anyhow::bail!("broken off"),
            _ = terminate.recv() => anyhow::bail!("broken off"),
        }
    }

    /// Asks the books, ends the server and looks at what is left. What cannot be asked is a finding as well.
    async fn add_up(mut self, begun: f64, mut remains: Vec<String>) -> Findings {
        let ended = self.target.journal.now();
        let (server, journal) = (
            Arc::clone(&self.target.server),
            Arc::clone(&self.target.journal),
        );
        let mut server = server.lock().await;
        let (mut accounts, mut ledger) = (Vec::new(), Vec::new());
        if let Err(error) = self.ask_books(&server, &mut accounts, &mut ledger).await {
            remains.push(format!("the books cannot be asked: {error:#}"));
        }
        match server.end().await {
            Ok(left) => {
                remains.extend((!left.is_empty()).then(|| format!("processes {left:?} are left")));
            }
            Err(error) => remains.push(format!("the end: {error:#}")),
        }
        match server.verify_offline().await {
            Ok(said) => journal.say(&said),
            Err(error) => ledger.push(format!("{error:#}")),
        }
        let log = server.log();
        remains.extend(
            log.lines()
                .filter(|line| line.contains("panicked at"))
                .take(5)
                .map(str::to_owned),
        );
        let courses = self.series.courses(begun, ended);
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

    async fn ask_books(
        &mut self,
        server: &Server,
        accounts: &mut Vec<Account>,
        ledger: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        until_quiet(server).await?;
        let events = self.target.journal.events();
        for (client, id) in &self.accounts {
            let upstream = (&mut self.calls, &*self.target.upstream);
            accounts.push(charges::account(client, id, server, &events, upstream).await?);
        }
        until_quiet(server).await?;
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

/// The server program: the one that was asked for, or the one that was built with this.
fn program(options: &Options) -> std::io::Result<PathBuf> {
    let own = || PathBuf::from(env!("CARGO_BIN_EXE_claude-switchboard"));
    std::path::absolute(options.server.clone().unwrap_or_else(own))
}

/// Waits until nothing runs and nobody waits.
async fn until_quiet(server: &Server) -> anyhow::Result<()> {
    let begun = Instant::now();
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
            begun.elapsed() < DEADLINE,
            "the server does not come to rest: {ready}"
        );
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

/// Conversations that lie in the store from the beginning, so that the store's page cache is full and what
/// the server takes up is that of one that has run for long.
const CONVERSATIONS: usize = 20_000;

/// Makes [`CONVERSATIONS`] side by side.
async fn fill(client: &Client) -> anyhow::Result<()> {
    let item = json!({"type": "message", "role": "user", "content": "x".repeat(600)});
    let body = json!({"items": [item]});
    stream::iter(0..CONVERSATIONS)
        .map(|_| async {
            let made = client.post("/v1/conversations", &body).send().await?;
            made.error_for_status()?;
            anyhow::Ok(())
        })
        .buffer_unordered(64)
        .try_collect()
        .await
}
