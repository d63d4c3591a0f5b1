//! The commands `ledger` and `usage`, while a server runs and while none does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use claude_switchboard::accounts::ledger::{Charge, ChargeOutcome, Clock, Config, Ledger};
use claude_switchboard::domain::{Amount, Caller, Grant, Money, Usage};
use claude_switchboard::engine::claude::lock_data_dir;
use claude_switchboard::storage::store::{self, Store, Transaction};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::command_line::{Ran, run};
use crate::support::{Builder, TestServer, eventually};

/// A data directory in which two keys have spent something, and a request was cut off.
async fn used() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tracker = TaskTracker::new();
    let store = Store::open(
        &folder.path().join("store"),
        store::Config::default(),
        tracker.clone(),
    )
    .unwrap();
    let config = Config {
        keep_charges_days: 92,
    };
    let ledger = Ledger::open(store, Clock::system(), config)
        .await
        .unwrap()
        .ledger;
    let held = Amount {
        tokens: 100,
        money: Money::from_nanos(1_000),
    };
    for (key, project, model, tokens) in [
        ("a", "p", "haiku", 10),
        ("a", "p", "opus", 20),
        ("b", "default", "opus", 40),
    ] {
        let grant = Arc::new(Grant::default());
        let caller = Caller {
            project: project.to_owned(),
            grant,
            ..Caller::named(key)
        };
        let hold = ledger
            .hold(&caller, held, &format!("{key}{model}"))
            .await
            .unwrap();
        let usage = Usage {
            output_tokens: tokens,
            ..Usage::default()
        };
        let money = Some(Money::from_nanos(1_500_000_000));
        let charge = Charge {
            model: model.to_owned(),
            usage,
            money,
            outcome: ChargeOutcome::Answered,
        };
        hold.settle(charge).await.unwrap();
    }
    drop(ledger);
    tracker.close();
    tracker.wait().await;
    folder
}

/// Runs a command on a data directory.
fn on(folder: &Path, arguments: &[&str]) -> Ran {
    let folder = folder.to_str().unwrap();
    run(&[arguments, &["--data-dir", folder]].concat(), &[])
}

#[track_caller]
fn said(ran: &Ran) -> &str {
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    &ran.stdout
}

/// The error and the hint of a command that has failed.
#[track_caller]
fn refused(ran: &Ran) -> (&str, &str) {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    let error = ran.stderr.trim_end().strip_prefix("error: ").unwrap();
    error.split_once("\nhint: ").unwrap()
}

#[tokio::test]
async fn what_was_used_is_printed_for_people_programs_and_spreadsheets() {
    let folder = used().await;
    let ran = on(folder.path(), &["usage", "--group-by", "model"]);
    let rows: Vec<Vec<&str>> = said(&ran)
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let shown: Vec<(&str, &str, &str)> = rows.iter().map(|row| (row[0], row[1], row[8])).collect();
    assert_eq!(
        shown,
        [
            ("model", "requests", "cost_usd"),
            ("haiku", "1", "1.50"),
            ("opus", "2", "3.00"),
            ("total", "3", "4.50")
        ]
    );
    let ran = on(
        folder.path(),
        &[
            "usage",
            "--project",
            "p",
            "--period",
            "day",
            "--format",
            "json",
        ],
    );
    let report: Value = serde_json::from_str(said(&ran)).unwrap();
    assert_eq!(
        (
            &report["totals"]["requests"],
            &report["totals"]["total_tokens"]
        ),
        (&2.into(), &30.into())
    );
    assert_eq!(
        (&report["project_id"], &report["period"]),
        (&"p".into(), &"day".into())
    );
    let ran = on(
        folder.path(),
        &[
            "usage",
            "--period",
            "all",
            "--group-by",
            "key",
            "--format",
            "csv",
        ],
    );
    let lines: Vec<&str> = said(&ran).split("\r\n").collect();
    assert!(
        lines[1].starts_with("a,2,") && lines[2].starts_with("b,1,"),
        "{lines:?}"
    );
    let ran = run(&["usage", "--period", "year"], &[]);
    assert!(
        ran.stderr
            .contains("[possible values: day, week, month, all]"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn a_ledger_is_verified_backed_up_and_restored() {
    let (folder, other) = (used().await, tempfile::tempdir().unwrap());
    let ran = on(folder.path(), &["ledger", "verify"]);
    assert_eq!(
        said(&ran),
        "all figures agree: 3 charges, 3 counters, 0 open holds\n"
    );
    let file = other.path().join("ledger.backup");
    let name = file.to_str().unwrap();
    for _ in 0..2 {
        let ran = on(folder.path(), &["ledger", "backup", name]);
        assert!(
            said(&ran).ends_with(&format!(" records written to {name}\n")),
            "{}",
            ran.stdout
        );
    }
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let restored = other.path().join("data");
    let ran = on(&restored, &["ledger", "restore", name]);
    assert!(
        said(&ran).ends_with(" records restored, 0 replaced\n"),
        "{}",
        ran.stdout
    );
    let usage = |folder: &Path| on(folder, &["usage", "--period", "all", "--format", "csv"]).stdout;
    assert_eq!(usage(&restored), usage(folder.path()));

    let ran = on(&restored, &["ledger", "restore", name]);
    let (error, hint) = refused(&ran);
    assert!(
        error.starts_with("there is a ledger already") && hint.contains("--replace"),
        "{error}, {hint}"
    );
    said(&on(&restored, &["ledger", "restore", name, "--replace"]));
    said(&on(&restored, &["ledger", "verify"]));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    let ran = on(&restored, &["ledger", "restore", name, "--replace"]);
    assert!(refused(&ran).0.contains("cut off"), "{}", ran.stderr);
    said(&on(&restored, &["ledger", "verify"]));
}

#[tokio::test]
async fn a_data_directory_that_is_taken_or_empty_is_named_with_what_to_do() {
    let folder = used().await;
    let backup = folder.path().join("ledger.backup");
    let backup = backup.to_str().unwrap();
    said(&on(folder.path(), &["ledger", "backup", backup]));
    let taken = lock_data_dir(folder.path()).unwrap();
    for command in [
        &["usage"][..],
        &["ledger", "verify"],
        &["ledger", "backup", "/nowhere/file"],
    ] {
        let ran = on(folder.path(), command);
        let (error, hint) = refused(&ran);
        assert!(
            error.starts_with("a server holds the data directory, but does not answer at "),
            "{error}"
        );
        assert!(hint.starts_with("try again"), "{hint}");
    }
    let ran = on(folder.path(), &["ledger", "restore", backup, "--replace"]);
    let (error, hint) = refused(&ran);
    assert_eq!(
        error,
        format!(
            "a server holds the data directory {}",
            folder.path().display()
        )
    );
    assert!(hint.starts_with("stop the server"), "{hint}");
    drop(taken);
    let empty = tempfile::tempdir().unwrap();
    for command in [&["usage"][..], &["ledger", "verify"]] {
        let ran = on(empty.path(), command);
        assert_eq!(
            refused(&ran).0,
            format!("there are no records in {}", empty.path().display())
        );
        assert_eq!(
            std::fs::read_dir(empty.path()).unwrap().count(),
            0,
            "and none are made"
        );
    }
    let ran = on(folder.path(), &["ledger", "backup", "/nowhere/file"]);
    assert!(
        refused(&ran)
            .0
            .starts_with("cannot write /nowhere/file: No such file"),
        "{}",
        ran.stderr
    );
}

/// A server without a sign-in: what these tests ask needs no model.
fn server() -> Builder {
    TestServer::fake().without("ANTHROPIC_API_KEY")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_is_asked_and_says_the_same() {
    let folder = used().await;
    let file = folder.path().join("ledger.backup");
    let file = file.to_str().unwrap();
    let all: [&[&str]; 5] = [
        &["usage", "--group-by", "model"],
        &[
            "usage",
            "--project",
            "p",
            "--key",
            "a",
            "--period",
            "day",
            "--format",
            "json",
        ],
        &[
            "usage",
            "--period",
            "all",
            "--group-by",
            "key",
            "--format",
            "csv",
        ],
        &["ledger", "verify"],
        &["ledger", "backup", file],
    ];
    let said_by_all = || all.map(|command| said(&on(folder.path(), command)).to_owned());
    let before = said_by_all();
    let server = server().spawn_in(folder.path()).await;
    assert_eq!(said_by_all(), before);
    let ran = on(folder.path(), &["ledger", "restore", file, "--replace"]);
    let (error, hint) = refused(&ran);
    assert_eq!(
        error,
        format!(
            "a server holds the data directory {}",
            folder.path().display()
        )
    );
    assert!(hint.starts_with("stop the server"), "{hint}");

    let request = server
        .http
        .get(server.url("/v1/usage?group_by=key"))
        .header("accept", "text/csv");
    let csv = request.send().await.unwrap().text().await.unwrap();
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(lines[1].starts_with("b,1,") && lines[2].is_empty(), "{csv}");
    server.end().await;
    assert_eq!(said_by_all(), before);
    said(&on(
        folder.path(),
        &["ledger", "restore", file, "--replace"],
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_seen_once_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::fake().workers(1).spawn_in(folder.path()).await;
    assert_eq!(server.chat("[[tokens=2]]").send().await.status, 200);
    // It is charged when its run is over, which may be after its answer.
    let charged = || async {
        let (_, report) = server.get("/v1/usage?group_by=key&period=day").await;
        Some(report["groups"][0].clone()).filter(|group| group["requests"] == 1)
    };
    let group = eventually("the request is charged", charged).await;
    assert!(
        group["name"] == "local" && group["total_tokens"].as_u64() > Some(0),
        "{group}"
    );
    let ran = on(folder.path(), &["usage", "--format", "csv"]);
    assert!(said(&ran).contains("\r\ntotal,1,"), "{}", ran.stdout);
    said(&on(folder.path(), &["ledger", "verify"]));
    server.end().await;
}

/// What a server and the commands say of records that cannot be used: the folder's name, and this.
#[track_caller]
fn assert_names(folder: &Path, log: &str, hint: &str) {
    let store = folder.join("store");
    let error = format!("error: the records in {} cannot be used: ", store.display());
    assert!(
        log.contains(&error) && log.contains(&format!("\nhint: {hint}")),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_named_with_how_to_repair_or_restore_it() {
    let (folder, kept) = (used().await, tempfile::tempdir().unwrap());
    let usage = || {
        on(
            folder.path(),
            &["usage", "--period", "all", "--format", "csv"],
        )
    };
    let (before, file) = (usage().stdout, kept.path().join("ledger.backup"));
    let file = file.to_str().unwrap();
    said(&on(folder.path(), &["ledger", "backup", file]));
    let store = folder.path().join("store");
    let length = std::fs::metadata(store.join("db")).unwrap().len();
    std::fs::write(
        store.join("db"),
        vec![0xa5; usize::try_from(length).unwrap()],
    )
    .unwrap();
    let hint = "if the disk is full, free some space and start again. If the files are damaged, `claude-switchboard store repair`";
    let ended = server().fail_in(folder.path()).await;
    assert_eq!(ended.code, Some(1));
    assert_names(folder.path(), &ended.log, hint);
    for command in [
        &["usage"][..],
        &["ledger", "verify"],
        &["ledger", "restore", file, "--replace"],
    ] {
        let ran = on(folder.path(), command);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        assert_names(folder.path(), &ran.stderr, hint);
    }

    // It is done as the hint says.
    std::fs::rename(&store, kept.path().join("store")).unwrap();
    said(&on(folder.path(), &["ledger", "restore", file]));
    assert_eq!(said(&usage()), before);
    server().spawn_in(folder.path()).await.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_a_later_program_is_left_alone_until_it_is_replaced() {
    let folder = used().await;
    let file = folder.path().join("ledger.backup");
    let file = file.to_str().unwrap();
    said(&on(folder.path(), &["ledger", "backup", file]));
    change(folder.path(), |transaction| {
        transaction.put(b"ledger\0a".to_vec(), vec![9, 9]);
    })
    .await;
    let ended = server().fail_in(folder.path()).await;
    assert_eq!(ended.code, Some(1));
    assert_names(
        folder.path(),
        &ended.log,
        "use the program that has written it, or restore",
    );
    let ran = on(folder.path(), &["ledger", "verify"]);
    assert!(
        refused(&ran).0.contains("the ledger has version 9"),
        "{}",
        ran.stderr
    );
    said(&on(
        folder.path(),
        &["ledger", "restore", file, "--replace"],
    ));
    server().spawn_in(folder.path()).await.end().await;
}

/// Changes records while no server runs.
async fn change(folder: &Path, work: impl FnOnce(&mut Transaction<'_>) + Send + 'static) {
    let tracker = TaskTracker::new();
    let store = Store::open(
        &folder.join("store"),
        store::Config::default(),
        tracker.clone(),
    )
    .unwrap();
    let work = |transaction: &mut Transaction<'_>| {
        work(transaction);
        Ok::<_, claude_switchboard::storage::store::Error>(())
    };
    store.transaction(work).await.unwrap();
    drop(store);
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn figures_that_do_not_agree_are_listed() {
    let folder = used().await;
    change(folder.path(), |transaction| {
        let (charge, _) = transaction.first(b"ledger\0c").unwrap().unwrap();
        transaction.remove(charge);
    })
    .await;
    let ran = on(folder.path(), &["ledger", "verify"]);
    let (error, hint) = refused(&ran);
    assert!(
        error.starts_with("2 figures do not agree:\n") && error.contains("haiku"),
        "{error}"
    );
    assert!(hint.contains("ledger restore FILE --replace"), "{hint}");
}
