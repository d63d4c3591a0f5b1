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

use crate::command_line::{CommandOutput, run};
use crate::support::{Builder, TestServer, eventually};

/// Returns a data directory with three charges of two keys.
async fn data_dir_with_charges() -> TempDir {
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
        node: "server".to_owned(),
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
            estimated_tokens: 0,
            outcome: ChargeOutcome::Answered,
            baseline: None,
            sign_in: None,
            fallback: None,
        };
        hold.settle(charge).await.unwrap();
    }
    drop(ledger);
    tracker.close();
    tracker.wait().await;
    folder
}

/// Runs a command on a data directory.
fn run_in(folder: &Path, arguments: &[&str]) -> CommandOutput {
    let folder = folder.to_str().unwrap();
    run(&[arguments, &["--data-dir", folder]].concat(), &[])
}

#[track_caller]
fn stdout_of(output: &CommandOutput) -> &str {
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    &output.stdout
}

/// Returns the error and the hint of a failed command.
#[track_caller]
fn error_and_hint(output: &CommandOutput) -> (&str, &str) {
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    let error = output.stderr.trim_end().strip_prefix("error: ").unwrap();
    error.split_once("\nhint: ").unwrap()
}

#[tokio::test]
async fn usage_is_printed_as_a_table_json_and_csv() {
    let folder = data_dir_with_charges().await;
    let output = run_in(folder.path(), &["usage", "--group-by", "model"]);
    let rows: Vec<Vec<&str>> = stdout_of(&output)
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
    let output = run_in(
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
    let report: Value = serde_json::from_str(stdout_of(&output)).unwrap();
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
    let output = run_in(
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
    let lines: Vec<&str> = stdout_of(&output).split("\r\n").collect();
    assert!(
        lines[1].starts_with("a,2,") && lines[2].starts_with("b,1,"),
        "{lines:?}"
    );
    let output = run(&["usage", "--period", "year"], &[]);
    assert!(
        output
            .stderr
            .contains("[possible values: day, week, month, all]"),
        "{}",
        output.stderr
    );
}

#[tokio::test]
async fn ledger_is_verified_backed_up_and_restored() {
    let folder = data_dir_with_charges().await;
    let other = tempfile::tempdir().unwrap();
    let output = run_in(folder.path(), &["ledger", "verify"]);
    assert_eq!(
        stdout_of(&output),
        "all figures agree: 3 charges, 3 counters, 0 open holds\n"
    );
    let file = other.path().join("ledger.backup");
    let name = file.to_str().unwrap();
    for _ in 0..2 {
        let output = run_in(folder.path(), &["ledger", "backup", name]);
        assert!(
            stdout_of(&output).ends_with(&format!(" records written to {name}\n")),
            "{}",
            output.stdout
        );
    }
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let restored = other.path().join("data");
    let output = run_in(&restored, &["ledger", "restore", name]);
    assert!(
        stdout_of(&output).ends_with(" records restored, 0 replaced\n"),
        "{}",
        output.stdout
    );
    let usage =
        |folder: &Path| run_in(folder, &["usage", "--period", "all", "--format", "csv"]).stdout;
    assert_eq!(usage(&restored), usage(folder.path()));

    let output = run_in(&restored, &["ledger", "restore", name]);
    let (error, hint) = error_and_hint(&output);
    assert!(
        error.starts_with("there is a ledger already") && hint.contains("--replace"),
        "{error}, {hint}"
    );
    stdout_of(&run_in(
        &restored,
        &["ledger", "restore", name, "--replace"],
    ));
    stdout_of(&run_in(&restored, &["ledger", "verify"]));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    let output = run_in(&restored, &["ledger", "restore", name, "--replace"]);
    assert!(
        error_and_hint(&output).0.contains("cut off"),
        "{}",
        output.stderr
    );
    stdout_of(&run_in(&restored, &["ledger", "verify"]));
}

#[tokio::test]
async fn locked_or_empty_data_directory_is_reported_with_a_hint() {
    let folder = data_dir_with_charges().await;
    let backup = folder.path().join("ledger.backup");
    let backup = backup.to_str().unwrap();
    stdout_of(&run_in(folder.path(), &["ledger", "backup", backup]));
    let lock = lock_data_dir(folder.path()).unwrap();
    for command in [
        &["usage"][..],
        &["ledger", "verify"],
        &["ledger", "backup", "/nowhere/file"],
    ] {
        let output = run_in(folder.path(), command);
        let (error, hint) = error_and_hint(&output);
        assert!(
            error.starts_with("a server holds the data directory, but does not answer at "),
            "{error}"
        );
        assert!(hint.starts_with("try again"), "{hint}");
    }
    let output = run_in(folder.path(), &["ledger", "restore", backup, "--replace"]);
    let (error, hint) = error_and_hint(&output);
    assert_eq!(
        error,
        format!(
            "a server holds the data directory {}",
            folder.path().display()
        )
    );
    assert!(hint.starts_with("stop the server"), "{hint}");
    drop(lock);
    let empty = tempfile::tempdir().unwrap();
    for command in [&["usage"][..], &["ledger", "verify"]] {
        let output = run_in(empty.path(), command);
        assert_eq!(
            error_and_hint(&output).0,
            format!("there are no records in {}", empty.path().display())
        );
        assert_eq!(
            std::fs::read_dir(empty.path()).unwrap().count(),
            0,
            "and none are created"
        );
    }
    let output = run_in(folder.path(), &["ledger", "backup", "/nowhere/file"]);
    assert!(
        error_and_hint(&output)
            .0
            .starts_with("cannot write /nowhere/file: No such file"),
        "{}",
        output.stderr
    );
}

/// Returns a server without credentials: these tests make no upstream calls.
fn server() -> Builder {
    TestServer::fake().without("ANTHROPIC_API_KEY")
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_print_the_same_while_a_server_runs() {
    let folder = data_dir_with_charges().await;
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
    let all_outputs = || all.map(|command| stdout_of(&run_in(folder.path(), command)).to_owned());
    let before = all_outputs();
    let server = server().spawn_in(folder.path()).await;
    assert_eq!(all_outputs(), before);
    let output = run_in(folder.path(), &["ledger", "restore", file, "--replace"]);
    let (error, hint) = error_and_hint(&output);
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
    assert_eq!(all_outputs(), before);
    stdout_of(&run_in(
        folder.path(),
        &["ledger", "restore", file, "--replace"],
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_includes_a_request_after_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::fake().workers(1).spawn_in(folder.path()).await;
    assert_eq!(server.chat("[[tokens=2]]").send().await.status, 200);
    // A request is charged at the end of its run, which may be after its answer.
    let charged = || async {
        let (_, report) = server.get("/v1/usage?group_by=key&period=day").await;
        Some(report["groups"][0].clone()).filter(|group| group["requests"] == 1)
    };
    let group = eventually("the request is charged", charged).await;
    assert!(
        group["name"] == "local" && group["total_tokens"].as_u64() > Some(0),
        "{group}"
    );
    let output = run_in(folder.path(), &["usage", "--format", "csv"]);
    assert!(
        stdout_of(&output).contains("\r\ntotal,1,"),
        "{}",
        output.stdout
    );
    stdout_of(&run_in(folder.path(), &["ledger", "verify"]));
    server.end().await;
}

/// Asserts that `log` names the unusable store, and contains `hint`.
#[track_caller]
fn assert_names_unusable_store(folder: &Path, log: &str, hint: &str) {
    let store = folder.join("store");
    let error = format!("error: the records in {} cannot be used: ", store.display());
    assert!(
        log.contains(&error) && log.contains(&format!("\nhint: {hint}")),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_store_is_reported_with_hints_to_repair_and_restore_it() {
    let folder = data_dir_with_charges().await;
    let aside = tempfile::tempdir().unwrap();
    let usage = || {
        run_in(
            folder.path(),
            &["usage", "--period", "all", "--format", "csv"],
        )
    };
    let before = usage().stdout;
    let file = aside.path().join("ledger.backup");
    let file = file.to_str().unwrap();
    stdout_of(&run_in(folder.path(), &["ledger", "backup", file]));
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
    assert_names_unusable_store(folder.path(), &ended.log, hint);
    for command in [
        &["usage"][..],
        &["ledger", "verify"],
        &["ledger", "restore", file, "--replace"],
    ] {
        let output = run_in(folder.path(), command);
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
        assert_names_unusable_store(folder.path(), &output.stderr, hint);
    }

    // The store is restored as the hint suggests.
    std::fs::rename(&store, aside.path().join("store")).unwrap();
    stdout_of(&run_in(folder.path(), &["ledger", "restore", file]));
    assert_eq!(stdout_of(&usage()), before);
    server().spawn_in(folder.path()).await.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ledger_of_a_newer_version_is_refused_until_it_is_replaced() {
    let folder = data_dir_with_charges().await;
    let file = folder.path().join("ledger.backup");
    let file = file.to_str().unwrap();
    stdout_of(&run_in(folder.path(), &["ledger", "backup", file]));
    change(folder.path(), |transaction| {
        transaction.put(b"ledger\0a".to_vec(), vec![9, 9]);
    })
    .await;
    let ended = server().fail_in(folder.path()).await;
    assert_eq!(ended.code, Some(1));
    assert_names_unusable_store(
        folder.path(),
        &ended.log,
        "use the program that has written it, or restore",
    );
    let output = run_in(folder.path(), &["ledger", "verify"]);
    assert!(
        error_and_hint(&output)
            .0
            .contains("the ledger has version 9"),
        "{}",
        output.stderr
    );
    stdout_of(&run_in(
        folder.path(),
        &["ledger", "restore", file, "--replace"],
    ));
    server().spawn_in(folder.path()).await.end().await;
}

/// Changes records of the store while no server runs.
async fn change(folder: &Path, work: impl Fn(&mut Transaction<'_>) + Send + 'static) {
    let tracker = TaskTracker::new();
    let store = Store::open(
        &folder.join("store"),
        store::Config::default(),
        tracker.clone(),
    )
    .unwrap();
    let work = move |transaction: &mut Transaction<'_>| {
        work(transaction);
        Ok::<_, claude_switchboard::storage::store::Error>(())
    };
    store.transaction(work).await.unwrap();
    drop(store);
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn inconsistent_figures_of_the_ledger_are_listed() {
    let folder = data_dir_with_charges().await;
    change(folder.path(), |transaction| {
        let (charge, _) = transaction.first(b"ledger\0c").unwrap().unwrap();
        transaction.remove(charge);
    })
    .await;
    let output = run_in(folder.path(), &["ledger", "verify"]);
    let (error, hint) = error_and_hint(&output);
    assert!(
        error.starts_with("2 figures do not agree:\n") && error.contains("haiku"),
        "{error}"
    );
    assert!(hint.contains("ledger restore FILE --replace"), "{hint}");
}
