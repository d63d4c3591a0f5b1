//! Cost of a hundred thousand keys. Run alone with `--nocapture`, it prints the figures.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::super::*;
use crate::accounts::auth::digest::KeyDigest;
use crate::accounts::auth::key::KeyRecord;
use crate::accounts::auth::key_index::IndexedKey;
use crate::accounts::auth::text::KeyPrefix;
use crate::domain::Rates;
use crate::storage::store::Store;

const KEYS: usize = 100_000;

/// Text of a key; derived from its number, so that none has to be stored.
fn text(number: usize) -> String {
    format!("sk-sb-{number:012}-{number:052}")
}

/// Key record with or without limits of its own.
fn stored(number: usize, has_limits: bool) -> (KeyPrefix, KeyRecord) {
    let mut policy = KeyPolicy::default();
    if has_limits {
        policy.rates = Rates {
            requests_per_minute: Some(60),
            ..Rates::default()
        };
        policy.models = Some(vec!["haiku".to_owned(), "sonnet".to_owned()]);
    }
    let prefix = format!("{number:012}");
    let key = ApiKey {
        prefix: prefix.clone(),
        name: "somebody".to_owned(),
        project: "default".to_owned(),
        policy,
        created_at: 0,
        expires_at: None,
        revoked_at: None,
        rotated_at: None,
        previous_until: None,
        last_used_at: None,
    };
    (
        prefix.parse().unwrap(),
        KeyRecord {
            key,
            digest: KeyDigest::of(&text(number)),
            previous: None,
        },
    )
}

/// Resident memory, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim()
        .trim_end_matches(" kB")
        .parse::<usize>()
        .unwrap()
        * 1024
}

#[test]
fn indexed_key_takes_little_memory() {
    // Plus the two counts of its `Arc`, and its slot in a map that is half full.
    let bytes = size_of::<IndexedKey>() + 16 + 2 * size_of::<(KeyPrefix, Arc<IndexedKey>)>();
    assert!(bytes <= 160, "{bytes}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn keys_authenticate_among_a_hundred_thousand() {
    let mut report = String::new();
    for has_limits in [false, true] {
        let store = Store::in_memory(TaskTracker::new());
        let registry = Registry::open(store).await.unwrap();
        let before = resident();
        for number in 0..KEYS {
            let (prefix, stored) = stored(number, has_limits);
            registry.index.put(prefix, &stored, 0);
        }
        let bytes = resident().saturating_sub(before) / KEYS;
        let keys = Keys::new(["configured"]).unwrap().with_stored(&registry);
        // The first use is written to the store; the second is the common case.
        let lookups = || (0..KEYS).step_by(5).map(text);
        let look_up = |text: &String| {
            let credentials = Credentials {
                api_key: Some(text),
                ..Credentials::default()
            };
            assert!(
                keys.authenticate(&credentials, Some(Permission::Inference))
                    .is_ok()
            );
        };
        lookups().for_each(|text| look_up(&text));
        let texts: Vec<String> = lookups().collect();
        let started = Instant::now();
        texts.iter().for_each(look_up);
        let each = started.elapsed() / u32::try_from(texts.len()).unwrap();
        let kind = if has_limits {
            "with limits and models of their own"
        } else {
            "without limits"
        };
        writeln!(
            report,
            "{KEYS} keys {kind}: {bytes} bytes each, {each:?} a lookup"
        )
        .unwrap();
    }
    std::io::stderr().write_all(report.as_bytes()).unwrap();
}
