//! Time limit of tests with a server: one that hangs fails by its name, not by silence.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::Once;
use std::time::Duration;

use tokio::time::Instant;

/// Maximum time that a test may keep a server. The slowest test needs a tenth of it.
const LIMIT: Duration = Duration::from_secs(600);
/// Interval between two checks.
const INTERVAL: Duration = Duration::from_secs(5);

/// Tests with a running server, by number: name and start.
type RunningTests = BTreeMap<u64, (String, Instant)>;

static RUNNING: Mutex<RunningTests> = Mutex::new(BTreeMap::new());
static WATCHDOG: Once = Once::new();

/// Entry of a running test; removed when dropped.
#[derive(Debug)]
pub(super) struct WatchedTest(u64);

impl WatchedTest {
    /// Watches the test of this thread: libtest names threads after tests.
    pub(super) fn begin() -> Self {
        WATCHDOG.call_once(|| drop(std::thread::spawn(abort_on_hang)));
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut running = RUNNING.lock().unwrap();
        let number = running.last_key_value().map_or(0, |(last, _)| last + 1);
        running.insert(number, (name, Instant::now()));
        Self(number)
    }
}

impl Drop for WatchedTest {
    fn drop(&mut self) {
        RUNNING.lock().unwrap().remove(&self.0);
    }
}

/// Aborts the process once a test has hung. A thread of a test cannot be ended from outside.
fn abort_on_hang() {
    loop {
        std::thread::sleep(INTERVAL);
        let hung = hung_tests(&RUNNING.lock().unwrap(), Instant::now());
        if !hung.is_empty() {
            // Not captured by libtest, unlike `eprintln!`.
            let _ = writeln!(
                std::io::stderr(),
                "\nerror: tests that hang: {}",
                hung.join(", ")
            );
            std::process::abort();
        }
    }
}

/// Returns the names of the tests that run for longer than the limit at `now`.
fn hung_tests(running: &RunningTests, now: Instant) -> Vec<String> {
    let hung = running
        .values()
        .filter(|(_, started)| now.duration_since(*started) > LIMIT);
    hung.map(|(name, _)| name.clone()).collect()
}

#[test]
fn watchdog_names_the_tests_over_the_limit() {
    let started = Instant::now();
    let running = [
        (0, ("old".to_owned(), started)),
        (1, ("new".to_owned(), started + LIMIT)),
    ];
    let later = started + LIMIT + INTERVAL;
    assert_eq!(hung_tests(&running.into(), later), ["old"]);
}
