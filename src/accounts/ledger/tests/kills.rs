//! Crash test: a process killed at any moment loses no charge that it has confirmed, and charges
//! nothing twice.
//!
//! The process is this test again, in a process of its own. Shows the effect of a kill; for the loss
//! of power see `store`.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use super::*;
use crate::accounts::ledger::records::HoldRecord;

const KILLS: u64 = 50;
const WRITERS: u64 = 32;
/// Budget of the key of each round; some rounds use it up.
const CAP: u64 = 1_500;
const ESTIMATE: u64 = 10;

/// Number of the round, and folder of the ledger; set only for the process to be killed.
const ROUND: &str = "LEDGER_KILL_ROUND";
const FOLDER: &str = "LEDGER_KILL_FOLDER";

/// Lines that one process has printed before its death.
#[derive(Default)]
struct PrintedLines {
    held: Vec<String>,
    settled: BTreeMap<String, u64>,
    refused: usize,
}

fn key(round: u64) -> Caller {
    let budget = Budget {
        daily: cap(CAP),
        ..Budget::default()
    };
    caller(&format!("key-{round}"), budget, Budget::default())
}

async fn open(folder: &Path) -> (OpenedLedger, Store, TaskTracker) {
    let tracker = TaskTracker::new();
    let store = open_sled(folder, &tracker);
    let config = Config {
        keep_charges_days: 92,
        node: "server".to_owned(),
    };
    let opened = Ledger::open(store.clone(), Clock::new(|| NOW), config)
        .await
        .unwrap();
    (opened, store, tracker)
}

/// Prints one line and flushes it.
fn print_line(what: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{what}")
        .and_then(|()| stdout.flush())
        .unwrap();
}

async fn write(ledger: Ledger, round: u64, writer: u64) {
    for number in 0.. {
        let id = format!("{round}-{writer}-{number}");
        let Ok(hold) = ledger.hold(&key(round), amount(ESTIMATE, 3), &id).await else {
            print_line(&format!("over {id}"));
            continue;
        };
        print_line(&format!("held {id}"));
        let tokens = 1 + (writer + number) % ESTIMATE;
        let debit = hold.settle(charge(tokens, 2)).await.unwrap();
        print_line(&format!("done {id} {}", debit.tokens));
    }
}

/// Returns the round and the folder of a process that is to be killed.
#[expect(
    clippy::disallowed_methods,
    reason = "how the one process tells the other what to do"
)]
fn role_of_this_process() -> Option<(u64, String)> {
    let round = std::env::var(ROUND).ok()?;
    let folder = std::env::var(FOLDER).ok()?;
    Some((round.parse().unwrap(), folder))
}

/// Writes to the ledger in `folder` until the process is killed.
fn write_until_killed(round: u64, folder: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (OpenedLedger { ledger, .. }, ..) = open(Path::new(folder)).await;
        // The test harness has started a line of its own.
        print_line("");
        let mut tasks = tokio::task::JoinSet::new();
        (0..WRITERS).for_each(|writer| drop(tasks.spawn(write(ledger.clone(), round, writer))));
        tasks.join_all().await;
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "the process that is to be killed"
)]
fn start(folder: &Path, round: u64) -> Child {
    let name = "accounts::ledger::tests::kills::confirmed_charges_survive_kills_and_are_made_once";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    command
        .env(ROUND, round.to_string())
        .env(FOLDER, folder)
        .stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// Starts a process, kills it after `lines` lines, and reads its remaining output.
fn kill_after(folder: &Path, round: u64, lines: u64) -> PrintedLines {
    let mut child = start(folder, round);
    let mut printed = PrintedLines::default();
    let mut count = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["held", id] => printed.held.push(id.to_owned()),
            ["done", id, tokens] => {
                printed
                    .settled
                    .insert(id.to_owned(), tokens.parse().unwrap());
            }
            ["over", _] => printed.refused += 1,
            // Output of the test harness.
            _ => continue,
        }
        count += 1;
        if count == lines {
            child.kill().unwrap();
        }
    }
    assert!(
        !child.wait().unwrap().success() && count >= lines,
        "it was killed, and did not fail"
    );
    printed
}

/// Checks the ledger after the kill against the printed lines.
async fn check(folder: &Path, round: u64, printed: &PrintedLines) {
    let (
        OpenedLedger {
            ledger,
            charged_holds: unknown,
            ..
        },
        store,
        tracker,
    ) = open(folder).await;
    let mut charges = BTreeMap::new();
    for (place, value) in store.scan(storage_keys::charges()).await.unwrap() {
        let charged = ChargeRecord::decode(&place, &value).unwrap();
        if charged.key == key(round).name {
            charges.insert(
                storage_keys::parse_id(ChargeRecord::KIND, &place).unwrap(),
                charged,
            );
        }
    }
    for (id, tokens) in &printed.settled {
        let charged = charges.get(id).unwrap_or_else(|| panic!("{id} is lost"));
        assert_eq!(
            (charged.amount(), charged.is_unknown),
            (amount(*tokens, 2), false),
            "{id}"
        );
    }
    assert!(
        printed.held.iter().all(|id| charges.contains_key(id)),
        "what was held is charged, one way or the other"
    );
    let closed: Vec<&ChargeRecord> = charges
        .values()
        .filter(|charged| charged.outcome == ChargeOutcome::Unknown)
        .collect();
    assert_eq!(closed.len(), unknown);
    assert!(
        closed
            .iter()
            .all(|charged| charged.amount() == amount(ESTIMATE, 3)),
        "in full"
    );
    let spent: u64 = charges
        .values()
        .map(|charged| charged.amount().tokens)
        .sum();
    assert_eq!(
        budgets(&ledger, &key(round)).await,
        [(amount(spent, spent_nanos(&charges)), cap(CAP))]
    );
    assert!(spent <= CAP, "{spent}");
    let holds: Vec<HoldRecord> = store
        .scan(storage_keys::holds())
        .await
        .unwrap()
        .iter()
        .map(|(place, value)| HoldRecord::decode(place, value).unwrap())
        .collect();
    assert_eq!(holds, []);
    assert_eq!(verify(&store).await.unwrap().problems, [""; 0]);
    drop((ledger, store));
    tracker.close();
    tracker.wait().await;
}

fn spent_nanos(charges: &BTreeMap<String, ChargeRecord>) -> i64 {
    charges
        .values()
        .map(|charged| charged.amount().money.nanos())
        .sum()
}

#[test]
fn confirmed_charges_survive_kills_and_are_made_once() {
    if let Some((round, folder)) = role_of_this_process() {
        return write_until_killed(round, &folder);
    }
    let mut folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut settled = 0;
    let mut refused = 0;
    let mut lost = 0;
    for round in 0..KILLS {
        // One ledger is killed ten times over; all of it is read each time.
        if round % 10 == 0 {
            folder = tempfile::tempdir().unwrap();
        }
        // From the first lines to long after the budget is used up.
        let lines = 1 + round * round * 7919 % 1_200;
        let printed = kill_after(folder.path(), round, lines);
        runtime.block_on(check(folder.path(), round, &printed));
        settled += printed.settled.len();
        refused += usize::from(printed.refused > 0);
        lost += printed.held.len() - printed.settled.len();
    }
    assert!(
        settled > 1_000 && refused > 5 && lost > 50,
        "{settled} {refused} {lost}: too little has happened"
    );
}
