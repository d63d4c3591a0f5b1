//! The child process: a store that obeys lines on standard input.

use std::error::Error as _;
use std::io::BufRead as _;
use std::io::Write as _;
use std::path::Path;

use claude_switchboard::storage::store::{Config, Error, Store, StoreTable, Transaction};
use tokio_util::task::TaskTracker;

const TABLE: StoreTable = StoreTable::new("numbers");

/// Opens the store in `folder` and reports that. Then obeys and answers each line of standard
/// input, until its end.
pub(crate) fn run(folder: &Path, min_free_bytes: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let config = Config {
        min_free_bytes,
        ..Config::default()
    };
    let store = match Store::open(folder, config, TaskTracker::new()) {
        Ok(store) => store,
        Err(error) => return print_line(&format!("failed {}", error_chain(&error))),
    };
    print_line("open");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["put", number, size] => {
                let value = vec![b'x'; size.parse().unwrap()];
                runtime.block_on(change(&store, number, Some(value)))
            }
            ["remove", number] => runtime.block_on(change(&store, number, None)),
            ["get", number] => match runtime.block_on(store.get(TABLE.key(number))) {
                Ok(value) => format!("value {}", value.map_or(-1, |value| value.len() as i64)),
                Err(error) => format!("error {}", error_chain(&error)),
            },
            _ => panic!("{line}"),
        };
        print_line(&answer);
    }
}

async fn change(store: &Store, number: &str, value: Option<Vec<u8>>) -> String {
    let key = TABLE.key(number);
    let work = move |transaction: &mut Transaction<'_>| {
        match &value {
            Some(value) => transaction.put(key.clone(), value.clone()),
            None => transaction.remove(key.clone()),
        }
        Ok::<_, Error>(())
    };
    match store.transaction(work).await {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("error {}", error_chain(&error)),
    }
}

fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    // A write fails only if the parent reads no more; the child is killed then anyway.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn error_chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text.replace('\n', " ")
}
