//! Shared answers in a real Redis.

use std::path::PathBuf;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::*;
use crate::storage::store::RedisServer;

/// Deadline of what follows the end of a lease, on a machine under load.
const DEADLINE: Duration = Duration::from_secs(60);

fn config() -> Config {
    Config {
        shared: SharedCachePlace::Redis,
        redis_url: String::new(),
        redis_username: String::new(),
        redis_password_file: PathBuf::new(),
        redis_ca_file: PathBuf::new(),
        redis_prefix: "cache".to_owned(),
        redis_timeout: Duration::from_secs(20),
        max_entry_bytes: 1 << 20,
        max_wait: Duration::from_secs(30),
    }
}

/// Returns the answers in `server`, as one of several servers sees them.
fn answers(server: &RedisServer) -> RedisAnswers {
    let hour = Duration::from_secs(3600);
    RedisAnswers::new(&config(), &server.config(), hour, TaskTracker::new()).unwrap()
}

fn claim(project: &str, token: &str) -> FlightClaim {
    FlightClaim {
        name: AnswerName {
            project: project.to_owned(),
            answer: format!("answer-{project}"),
            flight: format!("flight-{project}"),
        },
        token: token.to_owned(),
    }
}

async fn look_up(answers: &RedisAnswers, claim: &FlightClaim) -> AnswerLookup {
    answers
        .look_up(claim.clone(), LookupMode::Claim)
        .await
        .unwrap()
}

async fn finish(
    answers: &RedisAnswers,
    claim: &FlightClaim,
    generation: &[u8],
    outcome: FlightOutcome,
) -> bool {
    let end = FlightEnd {
        claim: claim.clone(),
        generation: generation.to_vec(),
        outcome,
    };
    answers.finish(end).await.unwrap()
}

/// Claims the flight of `claim`, and stores its answer.
async fn store(answers: &RedisAnswers, claim: &FlightClaim, bytes: &[u8]) {
    let lookup = look_up(answers, claim).await;
    assert_eq!(lookup.state, SharedAnswerState::Claimed);
    let outcome = FlightOutcome::Stored(bytes.to_vec());
    assert!(finish(answers, claim, &lookup.generation, outcome).await);
}

#[track_caller]
fn assert_found(lookup: &AnswerLookup, expected: &[u8]) {
    match &lookup.state {
        SharedAnswerState::Found { bytes, remaining } => {
            assert_eq!(bytes, expected);
            let hour = Duration::from_secs(3600);
            assert!(*remaining <= hour && *remaining > hour / 2, "{remaining:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn flight_is_claimed_by_one_server_until_its_answer_is_stored() {
    let server = RedisServer::start();
    let (one, other) = (answers(&server), answers(&server));
    let (mine, theirs) = (claim("p", "1"), claim("p", "2"));
    let claimed = look_up(&one, &mine).await;
    assert_eq!(claimed.state, SharedAnswerState::Claimed);
    // Asked again because the first answer was lost.
    assert_eq!(look_up(&one, &mine).await.state, SharedAnswerState::Claimed);
    assert_eq!(
        look_up(&other, &theirs).await.state,
        SharedAnswerState::Taken
    );
    assert!(one.renew(mine.clone()).await.unwrap());
    assert!(!other.renew(theirs.clone()).await.unwrap());
    let bytes = b"\x01{\"a\":\"\xc3\xa4\"}\r\n\0".to_vec();
    let outcome = FlightOutcome::Stored(bytes.clone());
    assert!(finish(&one, &mine, &claimed.generation, outcome).await);
    assert_found(&look_up(&other, &theirs).await, &bytes);
    let anew = other.look_up(theirs.clone(), LookupMode::Renew).await;
    assert_eq!(anew.unwrap().state, SharedAnswerState::Unclaimed);
    let elsewhere = look_up(&other, &claim("q", "3")).await;
    assert_eq!(elsewhere.state, SharedAnswerState::Claimed);
}

#[tokio::test]
async fn abandoned_flight_is_claimed_by_the_next_and_unshared_one_by_nobody() {
    let server = RedisServer::start();
    let (one, other) = (answers(&server), answers(&server));
    let (mine, theirs) = (claim("p", "1"), claim("p", "2"));
    let claimed = look_up(&one, &mine).await;
    let abandoned = FlightOutcome::Abandoned;
    assert!(!finish(&one, &mine, &claimed.generation, abandoned).await);
    let next = look_up(&other, &theirs).await;
    assert_eq!(next.state, SharedAnswerState::Claimed);
    // The end of a claim that another server has taken over leaves that of the other.
    finish(&one, &mine, &claimed.generation, FlightOutcome::Unshared).await;
    assert_eq!(look_up(&one, &mine).await.state, SharedAnswerState::Taken);
    finish(&other, &theirs, &next.generation, FlightOutcome::Unshared).await;
    assert_eq!(
        look_up(&one, &mine).await.state,
        SharedAnswerState::Unclaimed
    );
    let life: i64 = server.run("PTTL {cache}:1:flight:flight-p");
    assert!((0..=2000).contains(&life), "{life}");
}

#[tokio::test]
async fn flight_of_a_silent_server_ends_with_its_lease() {
    let server = RedisServer::start();
    let one = answers(&server).with_flight_lease(Duration::from_millis(50));
    let other = answers(&server);
    let (mine, theirs) = (claim("p", "1"), claim("p", "2"));
    assert_eq!(look_up(&one, &mine).await.state, SharedAnswerState::Claimed);
    let deadline = Instant::now() + DEADLINE;
    while look_up(&other, &theirs).await.state != SharedAnswerState::Claimed {
        assert!(Instant::now() < deadline);
    }
    assert!(!one.renew(mine).await.unwrap());
}

#[tokio::test]
async fn cleared_answers_are_found_no_more_at_any_server() {
    let server = RedisServer::start();
    let (one, other) = (answers(&server), answers(&server));
    let (of_p, of_q) = (claim("p", "1"), claim("q", "2"));
    store(&one, &of_p, b"p").await;
    store(&one, &of_q, b"q").await;
    let before = other.last_clearing().await.unwrap();
    assert_eq!(one.last_clearing().await.unwrap(), before);
    one.clear(Some("p".to_owned())).await.unwrap();
    assert_ne!(other.last_clearing().await.unwrap(), before);
    let claimed = look_up(&other, &of_p).await;
    assert_eq!(claimed.state, SharedAnswerState::Claimed);
    assert_found(&look_up(&other, &of_q).await, b"q");
    // Of a flight that began before the clearing, the answer is not stored.
    one.clear(None).await.unwrap();
    let outcome = FlightOutcome::Stored(b"old".to_vec());
    assert!(!finish(&other, &of_p, &claimed.generation, outcome).await);
    assert_eq!(
        look_up(&other, &of_q).await.state,
        SharedAnswerState::Claimed
    );
    store(&one, &of_p, b"new").await;
    assert_found(&look_up(&other, &of_p).await, b"new");
}

/// Redis may evict the marks of generations like all keys of the cache.
#[tokio::test]
async fn evicted_mark_brings_no_cleared_answer_back() {
    let server = RedisServer::start();
    let answers = answers(&server);
    let of_p = claim("p", "1");
    store(&answers, &of_p, b"old").await;
    for mark in ["generation:p", "generation"] {
        answers.clear(None).await.unwrap();
        let removed: i64 = server.run(&format!("DEL {{cache}}:1:{mark}"));
        assert_eq!(removed, 1);
        let lookup = look_up(&answers, &of_p).await;
        assert_eq!(lookup.state, SharedAnswerState::Claimed, "{mark}");
    }
}

#[tokio::test]
async fn all_keys_of_shared_answers_expire() {
    let server = RedisServer::start();
    let answers = answers(&server);
    store(&answers, &claim("p", "1"), b"p").await;
    look_up(&answers, &claim("q", "2")).await;
    answers.clear(None).await.unwrap();
    let keys: Vec<String> = server.run("KEYS *");
    assert_eq!(keys.len(), 6, "{keys:?}");
    for key in keys {
        let life: i64 = server.run(&format!("PTTL {key}"));
        assert!(life > 0, "{key}: {life}");
    }
}

#[tokio::test]
async fn killed_redis_fails_at_once_and_is_used_again_when_it_is_back() {
    let mut server = RedisServer::start();
    let answers = answers(&server);
    let of_p = claim("p", "1");
    store(&answers, &of_p, b"p").await;
    server.kill();
    let failed = answers.look_up(of_p.clone(), LookupMode::Claim).await;
    assert!(matches!(failed, Err(Error::Redis(_))), "{failed:?}");
    let failed = answers.look_up(of_p.clone(), LookupMode::Claim).await;
    assert!(
        matches!(failed, Err(Error::Paused | Error::Redis(_))),
        "{failed:?}"
    );
    server.restart();
    let deadline = Instant::now() + DEADLINE;
    let lookup = loop {
        match answers.look_up(of_p.clone(), LookupMode::Claim).await {
            Ok(lookup) => break lookup,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_found(&lookup, b"p");
}

#[tokio::test]
async fn setting_that_names_no_usable_file_is_refused_with_a_hint() {
    let server = RedisServer::start();
    let records = server.config();
    let open = |config: &Config| {
        let hour = Duration::from_secs(3600);
        RedisAnswers::new(config, &records, hour, TaskTracker::new())
    };
    let missing = Config {
        redis_url: records.url.clone(),
        redis_password_file: PathBuf::from("/nonexistent/password"),
        ..config()
    };
    let error = open(&missing).unwrap_err();
    assert!(
        error.to_string().contains("cache.redis_password_file"),
        "{error}"
    );
    assert!(error.hint().is_some());
    // The file of the other address is not read.
    let unused = Config {
        redis_password_file: PathBuf::from("/nonexistent/password"),
        ..config()
    };
    assert!(open(&unused).is_ok());
}
