//! Tests of the records of keys, over restarts of the server.

use bytes::Bytes;
use tokio_util::task::TaskTracker;

use super::*;
use crate::domain::ClaimedKey as _;
use crate::domain::ClaimedWork;
use crate::domain::EndUser;
use crate::storage::store::Store;

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
