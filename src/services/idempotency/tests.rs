//! Tests of the records of keys, over restarts of the server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::record::ClaimRecord;
use super::record::ClaimState;
use super::record::NO_EPOCH;
use super::*;
use crate::accounts::ledger::WorkOwners;
use crate::accounts::ledger::testing::remove_lease;
use crate::accounts::ledger::testing::shared_ledger;
use crate::domain::ClaimedKey as _;
use crate::domain::ClaimedWork;
use crate::domain::EndUser;
use crate::storage::store::Store;
use crate::storage::store::testing::SharedBackend;

/// Number of conflicts after which a transaction fails.
const MANY_CONFLICTS: usize = 8;

fn store() -> Store {
    Store::in_memory(TaskTracker::new())
}

fn key() -> ClaimKey {
    ClaimKey::new("owner".to_owned(), None, "/v1/messages", "key-1")
}

async fn look_up(store: &Store) -> FoundClaim {
    let claims = IdempotencyClaims::over(store);
    claims.look_up(&key(), "req_1").await.unwrap()
}

async fn claim(store: &Store) -> ActiveClaim {
    match look_up(store).await {
        FoundClaim::Free(claim) => claim,
        other => panic!("{other:?}"),
    }
}

fn head() -> AnswerHead {
    AnswerHead {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
    }
}

#[tokio::test]
async fn request_that_cost_nothing_leaves_its_key_free() {
    let store = store();
    let first = claim(&store).await;
    assert_eq!(first.wait_for_cost().await, ClaimedCost::Free);
    first.release().await.unwrap();
    let second = claim(&store).await;
    second.begin(ClaimedWork::Run);
    second.end(false);
    assert_eq!(second.wait_for_cost().await, ClaimedCost::Free);
    second.release().await.unwrap();
    assert!(!claim(&store).await.is_resumed());
}

#[tokio::test]
async fn begun_run_without_an_answer_is_interrupted_after_a_restart() {
    let store = store();
    let first = claim(&store).await;
    first.record_body(BodyDigest::of(b"{}"));
    first.begin(ClaimedWork::Run);
    let FoundClaim::Unanswered { body, is_complete } = look_up(&store).await else {
        panic!("a begun run is paid");
    };
    assert_eq!((body, is_complete), (Some(BodyDigest::of(b"{}")), false));
}

#[tokio::test]
async fn answer_that_was_not_kept_is_known_after_a_restart() {
    let store = store();
    let first = claim(&store).await;
    first.begin(ClaimedWork::Run);
    first.end(true);
    first.store_loss(true).await.unwrap();
    let found = look_up(&store).await;
    assert!(matches!(
        found,
        FoundClaim::Unanswered {
            is_complete: true,
            ..
        }
    ));
}

#[tokio::test]
async fn object_without_an_answer_keeps_its_id_over_restarts() {
    let store = store();
    let first = claim(&store).await;
    first.record_body(BodyDigest::of(b"{}"));
    first.begin(ClaimedWork::Object);
    let second = claim(&store).await;
    assert!(second.is_resumed());
    assert_eq!(second.object_id(), first.object_id());
    assert_eq!(second.resumed_body(), Some(&BodyDigest::of(b"{}")));
    // A refused retry must not free the key: the object may exist.
    assert_eq!(second.wait_for_cost().await, ClaimedCost::Object);
    second.store_object().await.unwrap();
    assert_eq!(claim(&store).await.object_id(), first.object_id());
}

#[tokio::test]
async fn stored_answer_is_found_by_its_owner_path_and_key_alone() {
    let store = store();
    let first = claim(&store).await;
    first.record_body(BodyDigest::of(b"{}"));
    first.begin(ClaimedWork::Run);
    first.end(true);
    assert_eq!(first.wait_for_cost().await, ClaimedCost::Run);
    let content = Bytes::from_static(b"answer");
    first.store_answer(head(), content).await.unwrap();
    let FoundClaim::Answered {
        body,
        request_id,
        head: stored,
        content,
    } = look_up(&store).await
    else {
        panic!("the answer is stored");
    };
    assert_eq!(body, Some(BodyDigest::of(b"{}")));
    assert_eq!((request_id.as_str(), stored), ("req_1", head()));
    assert_eq!(&*content, b"answer");
    let claims = IdempotencyClaims::over(&store);
    for (owner, path, key) in [
        ("other", "/v1/messages", "key-1"),
        ("owner", "/v1/responses", "key-1"),
        ("owner", "/v1/messages", "key-2"),
    ] {
        let other = ClaimKey::new(owner.to_owned(), None, path, key);
        let found = claims.look_up(&other, "req_2").await.unwrap();
        assert!(matches!(found, FoundClaim::Free(_)), "{owner} {path} {key}");
    }
    let ann = EndUser::new("ann");
    let of_ann = ClaimKey::new("owner".to_owned(), ann.as_ref(), "/v1/messages", "key-1");
    let found = claims.look_up(&of_ann, "req_2").await.unwrap();
    assert!(matches!(found, FoundClaim::Free(_)), "another end user");
}

#[tokio::test]
async fn empty_answer_is_found_as_an_answer() {
    let store = store();
    let first = claim(&store).await;
    first.store_answer(head(), Bytes::new()).await.unwrap();
    let found = look_up(&store).await;
    assert!(matches!(found, FoundClaim::Answered { content, .. } if content.is_empty()));
}

#[tokio::test]
async fn cost_is_known_when_all_runs_of_a_request_have_ended() {
    let store = store();
    let first = claim(&store).await;
    first.begin(ClaimedWork::Run);
    first.begin(ClaimedWork::Run);
    first.end(true);
    let mut cost = std::pin::pin!(first.wait_for_cost());
    assert!(futures::poll!(&mut cost).is_pending());
    first.end(false);
    assert_eq!(cost.await, ClaimedCost::Run);
}

/// Opens the keys of the server `node` on the records in `backend`, which others use, too.
async fn shared_claims(backend: &Arc<SharedBackend>, node: &str) -> (Store, IdempotencyClaims) {
    let store = Store::inline(Arc::clone(backend) as _, TaskTracker::new());
    let owners = WorkOwners::of(&shared_ledger(store.clone(), node).await);
    let claims = IdempotencyClaims::over_with_owners(&store, node, owners);
    (store, claims)
}

#[tokio::test]
async fn key_that_a_server_was_answering_is_judged_once_that_server_is_gone() {
    let backend = Arc::new(SharedBackend::default());
    let (_, gone) = shared_claims(&backend, "gone").await;
    let (store, other) = shared_claims(&backend, "other").await;
    let key_of = |name| ClaimKey::new("owner".to_owned(), None, "/v1/messages", name);
    // A claim that is dropped gives its key back.
    let mut held = Vec::new();
    for (name, work) in [
        ("reserved", None),
        ("run", Some(ClaimedWork::Run)),
        ("object", Some(ClaimedWork::Object)),
    ] {
        let key = key_of(name);
        let FoundClaim::Free(claim) = gone.look_up(&key, "req_1").await.unwrap() else {
            panic!("{name}");
        };
        if let Some(work) = work {
            claim.begin(work);
        }
        let found = other.look_up(&key, "req_2").await.unwrap();
        assert!(matches!(found, FoundClaim::InUse), "{name}");
        held.push(claim);
    }
    remove_lease(&store, "gone").await;
    let look_up = async |name| other.look_up(&key_of(name), "req_3").await.unwrap();
    let found = look_up("reserved").await;
    assert!(matches!(&found, FoundClaim::Free(claim) if !claim.is_resumed()));
    let found = look_up("run").await;
    assert!(matches!(
        found,
        FoundClaim::Unanswered {
            is_complete: false,
            ..
        }
    ));
    let found = look_up("object").await;
    assert!(matches!(found, FoundClaim::Free(claim) if claim.is_resumed()));
    let found = gone.look_up(&key_of("reserved"), "req_4").await.unwrap();
    assert!(matches!(found, FoundClaim::InUse), "the other one has it");
}

/// A server whose lease has expired gets its own request refused.
#[tokio::test]
async fn server_that_was_taken_for_gone_leaves_the_key_to_the_one_that_has_it() {
    let backend = Arc::new(SharedBackend::default());
    let (_, suspended) = shared_claims(&backend, "suspended").await;
    let (store, other) = shared_claims(&backend, "other").await;
    let FoundClaim::Free(first) = suspended.look_up(&key(), "req_1").await.unwrap() else {
        panic!("the key is free");
    };
    remove_lease(&store, "suspended").await;
    let FoundClaim::Free(second) = other.look_up(&key(), "req_2").await.unwrap() else {
        panic!("no server answers a request with the key");
    };
    second.begin(ClaimedWork::Run);
    first.begin(ClaimedWork::Run);
    first.end(false);
    first.release().await.unwrap();
    let (_, third) = shared_claims(&backend, "third").await;
    let found = third.look_up(&key(), "req_3").await.unwrap();
    assert!(matches!(found, FoundClaim::InUse), "{found:?}");
    second.end(true);
    let content = Bytes::from_static(b"answer");
    second.store_answer(head(), content).await.unwrap();
    let found = third.look_up(&key(), "req_4").await.unwrap();
    assert!(matches!(found, FoundClaim::Answered { content, .. } if &*content == b"answer"));
}

#[tokio::test]
async fn object_whose_answer_was_lost_is_found_at_the_other_server() {
    let backend = Arc::new(SharedBackend::default());
    let (_, one) = shared_claims(&backend, "one").await;
    let (_, other) = shared_claims(&backend, "other").await;
    let FoundClaim::Free(first) = one.look_up(&key(), "req_1").await.unwrap() else {
        panic!("the key is free");
    };
    first.begin(ClaimedWork::Object);
    first.end(true);
    first.store_object().await.unwrap();
    let FoundClaim::Free(retry) = other.look_up(&key(), "req_2").await.unwrap() else {
        panic!("no server answers a request with the key");
    };
    assert!(retry.is_resumed());
    assert_eq!(retry.object_id(), first.object_id());
    let found = one.look_up(&key(), "req_3").await.unwrap();
    assert!(matches!(found, FoundClaim::InUse), "the other one answers");
}

/// Waits until the key is not in use any more, and returns what is found.
async fn wait_until_returned(claims: &IdempotencyClaims) -> FoundClaim {
    let waiting = async {
        loop {
            match claims.look_up(&key(), "req_9").await.unwrap() {
                FoundClaim::InUse => sleep(Duration::from_millis(1)).await,
                found => return found,
            }
        }
    };
    timeout(Duration::from_secs(30), waiting).await.unwrap()
}

#[tokio::test]
async fn key_of_a_request_that_left_no_end_is_given_back() {
    for work in [None, Some(ClaimedWork::Run), Some(ClaimedWork::Object)] {
        let backend = Arc::new(SharedBackend::default());
        let (_, one) = shared_claims(&backend, "one").await;
        let (_, other) = shared_claims(&backend, "other").await;
        let FoundClaim::Free(claim) = one.look_up(&key(), "req_1").await.unwrap() else {
            panic!("the key is free");
        };
        if let Some(work) = work {
            claim.begin(work);
            claim.end(true);
            // The store fails at the end.
            let change = || (b"other".to_vec(), Some(Vec::new()));
            (0..MANY_CONFLICTS).for_each(|_| backend.add_conflict(change()));
            claim.store_loss(false).await.unwrap_err();
        }
        let object_id = claim.object_id().to_owned();
        drop(claim);
        let found = wait_until_returned(&other).await;
        let is_right = match (&found, work) {
            (FoundClaim::Free(claim), None) => !claim.is_resumed(),
            (FoundClaim::Unanswered { is_complete, .. }, Some(ClaimedWork::Run)) => !is_complete,
            (FoundClaim::Free(claim), Some(ClaimedWork::Object)) => claim.object_id() == object_id,
            _ => false,
        };
        assert!(is_right, "{work:?}: {found:?}");
    }
}

/// A retry with another body is refused before its handler.
#[tokio::test]
async fn object_of_a_retry_that_was_refused_is_found_by_the_next_one() {
    let backend = Arc::new(SharedBackend::default());
    let (_, one) = shared_claims(&backend, "one").await;
    let (_, other) = shared_claims(&backend, "other").await;
    let FoundClaim::Free(first) = one.look_up(&key(), "req_1").await.unwrap() else {
        panic!("the key is free");
    };
    first.record_body(BodyDigest::of(b"{}"));
    first.begin(ClaimedWork::Object);
    first.end(true);
    first.store_object().await.unwrap();
    drop(one.look_up(&key(), "req_2").await.unwrap());
    let FoundClaim::Free(next) = wait_until_returned(&other).await else {
        panic!("the key is given back");
    };
    assert_eq!(next.object_id(), first.object_id());
    assert_eq!(next.resumed_body(), Some(&BodyDigest::of(b"{}")));
}

#[tokio::test]
async fn answer_that_is_lost_is_kept_again() {
    let backend = Arc::new(SharedBackend::default());
    let (_, one) = shared_claims(&backend, "one").await;
    let (_, other) = shared_claims(&backend, "other").await;
    let unclaimed = backend.records();
    let FoundClaim::Free(first) = one.look_up(&key(), "req_1").await.unwrap() else {
        panic!("the key is free");
    };
    first.begin(ClaimedWork::Run);
    let running = backend.records();
    first.end(true);
    let content = Bytes::from_static(b"answer");
    first.store_answer(head(), content).await.unwrap();
    for saved in [running, unclaimed.clone()] {
        backend.lose_all_but(saved);
        let found = one.look_up(&key(), "req_2").await.unwrap();
        assert!(matches!(found, FoundClaim::Answered { content, .. } if &*content == b"answer"));
    }
    // Another server answers the request again before this one finds the loss.
    backend.lose_all_but(unclaimed);
    let found = other.look_up(&key(), "req_3").await.unwrap();
    assert!(matches!(found, FoundClaim::Free(_)));
    backend.lose_all_but(backend.records());
    let found = one.look_up(&key(), "req_4").await.unwrap();
    assert!(matches!(found, FoundClaim::InUse), "that one has it");
}

#[test]
fn end_of_a_request_comes_after_its_own_states_alone() {
    let record = |object: &str, request: &str, state: ClaimState, epoch| ClaimRecord {
        object_id: object.to_owned(),
        request_id: request.to_owned(),
        attempt: request.to_owned(),
        body: None,
        node: "a".to_owned(),
        epoch: Some(epoch),
        state,
    };
    let answer = record("2", "req_2", ClaimState::Answered(head()), 1);
    let object = record("2", "req_2", ClaimState::Creating, NO_EPOCH);
    for (found, is_before_answer, is_before_object) in [
        (record("1", "req_1", ClaimState::Reserved, 1), true, true),
        (record("2", "req_2", ClaimState::Creating, 1), true, true),
        (record("2", "req_3", ClaimState::Creating, 1), true, false),
        (object.clone(), true, false),
        (answer.clone(), false, false),
        (record("3", "req_3", ClaimState::Reserved, 1), false, false),
    ] {
        assert_eq!(answer.is_after(&found), is_before_answer, "{found:?}");
        assert_eq!(object.is_after(&found), is_before_object, "{found:?}");
    }
}
