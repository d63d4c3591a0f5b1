//! Tests of how batches end and how they resume.

use super::*;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::KeyChange;
use crate::telemetry::metrics::testing::assert_series;

/// Turns that answer `count` prompts and hang on all others.
pub(super) fn answer_then_hang(count: usize) -> (ScriptedTurns, Arc<Mutex<Vec<String>>>) {
    let left = Mutex::new(count);
    logged_turns(move |_| {
        let mut left = left.lock().unwrap();
        let is_answered = *left > 0;
        *left = left.saturating_sub(1);
        Ok(if is_answered {
            greeting_steps()
        } else {
            vec![started(), Step::Hang]
        })
    })
}

pub(super) fn has_completed(count: u64) -> impl Fn(&Value) -> bool {
    move |batch| batch["request_counts"]["completed"] == count
}

pub(super) async fn error_codes(server: &BatchServer, batch: &Value) -> Vec<String> {
    let errors = server.read_lines(&batch["error_file_id"]).await;
    let reason = |line: &Value| {
        format!(
            "{} {}",
            line["custom_id"].as_str().unwrap(),
            line["error"]["code"].as_str().unwrap()
        )
    };
    errors.iter().map(reason).collect()
}

#[tokio::test]
async fn cancelled_batch_keeps_finished_lines() {
    let (turns, _) = answer_then_hang(3);
    let server = BatchServer::start(turns).await;
    let id = server.create_batch(&lines(5)).await;
    server.wait_until(&id, has_completed(3)).await;
    let running = server.batches.counts().map(|(_, count)| count);
    assert_eq!(running, [0, 1, 0, 0], "it is in progress");
    let batch = server
        .call("POST", &format!("/v1/batches/{id}/cancel"), &Value::Null)
        .await;
    assert_eq!(batch["status"], "cancelling");
    let batch = server.wait_for_status(&id, "cancelled").await;
    assert!(
        batch["cancelling_at"].is_u64() && batch["cancelled_at"].is_u64(),
        "{batch}"
    );
    assert_eq!(
        ids(&server.read_lines(&batch["output_file_id"]).await),
        ["line 1", "line 2", "line 3"]
    );
    assert_eq!(
        error_codes(&server, &batch).await,
        ["line 4 batch_cancelled", "line 5 batch_cancelled"]
    );
    let again = server
        .call("POST", &format!("/v1/batches/{id}/cancel"), &Value::Null)
        .await;
    assert_eq!(again["status"], "cancelled");
    server.wait_until_idle().await;
    assert_series(
        &server.metrics,
        &[
            r#"switchboard_batch_lines_total{end="answered"} 3"#,
            r#"switchboard_batch_lines_total{end="failed"} 0"#,
            r#"switchboard_batch_lines_total{end="not_run"} 2"#,
        ],
    );
}

#[tokio::test]
async fn completed_batch_cannot_be_cancelled() {
    let server = BatchServer::start(ScriptedTurns::playing(greeting_steps())).await;
    let id = server.create_batch(&lines(1)).await;
    server.wait_for_status(&id, "completed").await;
    let request = request("POST", &format!("/v1/batches/{id}/cancel"), &[], "");
    let (status, error) = error(send(server.router.clone(), request).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        error["message"].as_str().unwrap().contains("`completed`"),
        "{error}"
    );
}

#[tokio::test]
async fn finished_batch_is_deleted_after_its_ttl() {
    let (turns, _) = answer_then_hang(1);
    let server = BatchServer::start(turns).await;
    let over = server.create_batch(&lines(1)).await;
    let ended = server.wait_for_status(&over, "completed").await["completed_at"]
        .as_u64()
        .unwrap();
    let running = server.create_batch(&lines(1)).await;
    for (later, left) in [
        (59, vec![&running, &over]),
        (60, vec![&running]),
        (1_000_000, vec![&running]),
    ] {
        server.batches.sweep(ended + later).await.unwrap();
        let list = server.call("GET", "/v1/batches", &Value::Null).await;
        let ids: Vec<_> = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|batch| batch["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, left, "{later} s after its end");
    }
}

#[tokio::test(start_paused = true)]
async fn batch_expires_after_its_completion_window() {
    let (turns, _) = answer_then_hang(1);
    let server = BatchStorage::new(Keys::none()).await.start_server(turns, 1);
    let id = server.create_batch(&lines(2)).await;
    server.wait_until(&id, has_completed(1)).await;
    sleep(Duration::from_secs(24 * 3600 + 1)).await;
    let batch = server.wait_for_status(&id, "expired").await;
    assert!(batch["expired_at"].is_u64(), "{batch}");
    assert_eq!(
        ids(&server.read_lines(&batch["output_file_id"]).await),
        ["line 1"]
    );
    assert_eq!(error_codes(&server, &batch).await, ["line 2 batch_expired"]);
}

#[tokio::test]
async fn batch_fails_when_its_key_is_revoked() {
    let registry = Registry::temporary().await.unwrap();
    let change = KeyChange {
        name: Some("key".to_owned()),
        permissions: FieldChange::Keep,
        ..KeyChange::default()
    };
    let (key, text) = registry
        .create_key("default".to_owned(), change)
        .await
        .unwrap();
    let (gate, opened) = watch::channel(false);
    let turns = ScriptedTurns::new(move |_, _| {
        let mut opened = opened.clone();
        let wait = async move { drop(opened.wait_for(|opened| *opened).await) };
        Ok(Box::pin(
            stream::once(wait).flat_map(|()| play(greeting_steps())),
        ))
    });
    let server = BatchStorage::new(Keys::none().with_stored(&registry))
        .await
        .start_server(turns, 1);
    let bearer = format!("Bearer {}", text.reveal());
    let with = |mut request: Request<Body>| {
        request
            .headers_mut()
            .insert("authorization", bearer.parse().unwrap());
        request
    };
    let lines: String = lines(3).iter().map(|line| format!("{line}\n")).collect();
    let file = found(&server.router, with(upload(&lines))).await["id"].clone();
    let begin = with(request(
        "POST",
        "/v1/batches",
        &[],
        batch_request(&file).to_string(),
    ));
    let made = found(&server.router, begin).await;
    let id = made["id"].as_str().unwrap();
    // A second key of the project, which owns the batch as well.
    let other = KeyChange {
        name: Some("other".to_owned()),
        ..KeyChange::default()
    };
    let (_, other) = registry
        .create_key("default".to_owned(), other)
        .await
        .unwrap();
    let get = || {
        let mut get = request("GET", &format!("/v1/batches/{id}"), &[], "");
        get.headers_mut().insert(
            "authorization",
            format!("Bearer {}", other.reveal()).parse().unwrap(),
        );
        get
    };
    while found(&server.router, get()).await["status"] != "in_progress" {
        tokio::task::yield_now().await;
    }
    registry.revoke_key(&key.id()).await.unwrap();
    gate.send(true).unwrap();
    let batch = loop {
        let batch = found(&server.router, get()).await;
        if batch["failed_at"].is_u64() {
            break batch;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (&batch["status"], &batch["errors"]["data"][0]["code"]),
        (&json!("failed"), &json!("revoked_api_key"))
    );
}

/// A server is killed twice in the middle of a batch: running lines are run again, recorded ones
/// are not.
#[tokio::test]
async fn batch_resumes_after_the_server_is_killed() {
    let storage = BatchStorage::new(Keys::none()).await;
    let (turns, first) = answer_then_hang(7);
    let server = storage.start_server(turns, 2);
    let id = server.create_batch(&lines(20)).await;
    server.wait_until(&id, has_completed(7)).await;
    server.stop.cancel();
    let (turns, second) = answer_then_hang(6);
    let next = storage.start_server(turns, 2);
    assert_eq!(next.batches.recover().await.unwrap(), 1);
    next.wait_until(&id, has_completed(13)).await;
    next.stop.cancel();
    let (turns, third) = answer_then_hang(100);
    let last = storage.start_server(turns, 2);
    assert_eq!(last.batches.recover().await.unwrap(), 1);
    let batch = last.wait_for_status(&id, "completed").await;
    assert_eq!(
        batch["request_counts"],
        json!({"total": 20, "completed": 20, "failed": 0})
    );
    let output = last.read_lines(&batch["output_file_id"]).await;
    assert_eq!(ids(&output), ids(&lines(20)));
    let runs = [first, second, third].map(|log| log.lock().unwrap().len());
    assert_eq!(
        runs[2], 7,
        "nothing that was written is run again: {runs:?}"
    );
    assert!(
        runs.iter().sum::<usize>() <= 20 + 2 * 2,
        "at most those under way are run again: {runs:?}"
    );
    let idle = storage.start_server(ScriptedTurns::playing([]), 2);
    let waiting = async {
        while idle.batches.recover().await.unwrap() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(MAX_TEST_WAIT, waiting)
        .await
        .expect("nothing is left to do");
}

#[tokio::test]
async fn resumed_batch_without_input_file_fails_and_keeps_finished_lines() {
    let storage = BatchStorage::new(Keys::none()).await;
    let (turns, _) = answer_then_hang(1);
    let server = storage.start_server(turns, 1);
    let id = server.create_batch(&lines(2)).await;
    let batch = server.wait_until(&id, has_completed(1)).await;
    server.stop.cancel();
    let file = batch["input_file_id"].as_str().unwrap();
    server
        .call("DELETE", &format!("/v1/files/{file}"), &Value::Null)
        .await;
    let next = storage.start_server(ScriptedTurns::playing(greeting_steps()), 1);
    next.batches.recover().await.unwrap();
    let batch = next.wait_for_status(&id, "failed").await;
    assert_eq!(batch["errors"]["data"][0]["code"], "input_file_not_found");
    assert_eq!(
        ids(&next.read_lines(&batch["output_file_id"]).await),
        ["line 1"]
    );
}
