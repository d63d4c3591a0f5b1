//! Tests of how batches end and how they resume.

use super::*;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::KeyChange;
use crate::telemetry::metrics::testing::assert_series;

/// Turns that answer `count` prompts and hang on all others.
fn answering(count: usize) -> (ScriptedTurns, Arc<Mutex<Vec<String>>>) {
    let left = Mutex::new(count);
    logging(move |_| {
        let mut left = left.lock().unwrap();
        let is_answered = *left > 0;
        *left = left.saturating_sub(1);
        Ok(if is_answered {
            greeting()
        } else {
            vec![started(), Step::Hang]
        })
    })
}

fn completed(count: u64) -> impl Fn(&Value) -> bool {
    move |batch| batch["request_counts"]["completed"] == count
}

async fn reasons(bench: &Bench, batch: &Value) -> Vec<String> {
    let errors = bench.lines(&batch["error_file_id"]).await;
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
    let (turns, _) = answering(3);
    let bench = Bench::of(turns).await;
    let id = bench.begin(&lines(5)).await;
    bench.until(&id, completed(3)).await;
    let running = bench.batches.counts().map(|(_, count)| count);
    assert_eq!(running, [0, 1, 0, 0], "it is in progress");
    let batch = bench
        .ask("POST", &format!("/v1/batches/{id}/cancel"), &Value::Null)
        .await;
    assert_eq!(batch["status"], "cancelling");
    let batch = bench.until_is(&id, "cancelled").await;
    assert!(
        batch["cancelling_at"].is_u64() && batch["cancelled_at"].is_u64(),
        "{batch}"
    );
    assert_eq!(
        ids(&bench.lines(&batch["output_file_id"]).await),
        ["line 1", "line 2", "line 3"]
    );
    assert_eq!(
        reasons(&bench, &batch).await,
        ["line 4 batch_cancelled", "line 5 batch_cancelled"]
    );
    let again = bench
        .ask("POST", &format!("/v1/batches/{id}/cancel"), &Value::Null)
        .await;
    assert_eq!(again["status"], "cancelled");
    bench.until_idle().await;
    assert_series(
        &bench.metrics,
        &[
            r#"switchboard_batch_lines_total{end="answered"} 3"#,
            r#"switchboard_batch_lines_total{end="failed"} 0"#,
            r#"switchboard_batch_lines_total{end="not_run"} 2"#,
        ],
    );
}

#[tokio::test]
async fn completed_batch_cannot_be_cancelled() {
    let bench = Bench::of(ScriptedTurns::playing(greeting())).await;
    let id = bench.begin(&lines(1)).await;
    bench.until_is(&id, "completed").await;
    let request = request("POST", &format!("/v1/batches/{id}/cancel"), &[], "");
    let (status, error) = error(send(bench.router.clone(), request).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        error["message"].as_str().unwrap().contains("`completed`"),
        "{error}"
    );
}

#[tokio::test]
async fn finished_batch_is_deleted_after_its_ttl() {
    let (turns, _) = answering(1);
    let bench = Bench::of(turns).await;
    let over = bench.begin(&lines(1)).await;
    let ended = bench.until_is(&over, "completed").await["completed_at"]
        .as_u64()
        .unwrap();
    let running = bench.begin(&lines(1)).await;
    for (later, left) in [
        (59, vec![&running, &over]),
        (60, vec![&running]),
        (1_000_000, vec![&running]),
    ] {
        bench.batches.sweep(ended + later).await.unwrap();
        let list = bench.ask("GET", "/v1/batches", &Value::Null).await;
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
    let (turns, _) = answering(1);
    let bench = Ground::new(Keys::none()).await.bench(turns, 1);
    let id = bench.begin(&lines(2)).await;
    bench.until(&id, completed(1)).await;
    sleep(Duration::from_secs(24 * 3600 + 1)).await;
    let batch = bench.until_is(&id, "expired").await;
    assert!(batch["expired_at"].is_u64(), "{batch}");
    assert_eq!(
        ids(&bench.lines(&batch["output_file_id"]).await),
        ["line 1"]
    );
    assert_eq!(reasons(&bench, &batch).await, ["line 2 batch_expired"]);
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
        Ok(Box::pin(stream::once(wait).flat_map(|()| play(greeting()))))
    });
    let bench = Ground::new(Keys::none().with_stored(&registry))
        .await
        .bench(turns, 1);
    let bearer = format!("Bearer {}", text.reveal());
    let with = |mut request: Request<Body>| {
        request
            .headers_mut()
            .insert("authorization", bearer.parse().unwrap());
        request
    };
    let lines: String = lines(3).iter().map(|line| format!("{line}\n")).collect();
    let file = found(&bench.router, with(upload(&lines))).await["id"].clone();
    let begin = with(request(
        "POST",
        "/v1/batches",
        &[],
        order(&file).to_string(),
    ));
    let made = found(&bench.router, begin).await;
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
    while found(&bench.router, get()).await["status"] != "in_progress" {
        tokio::task::yield_now().await;
    }
    registry.revoke_key(&key.id()).await.unwrap();
    gate.send(true).unwrap();
    let batch = loop {
        let batch = found(&bench.router, get()).await;
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
    let ground = Ground::new(Keys::none()).await;
    let (turns, first) = answering(7);
    let bench = ground.bench(turns, 2);
    let id = bench.begin(&lines(20)).await;
    bench.until(&id, completed(7)).await;
    bench.stop.cancel();
    let (turns, second) = answering(6);
    let next = ground.bench(turns, 2);
    assert_eq!(next.batches.recover().await.unwrap(), 1);
    next.until(&id, completed(13)).await;
    next.stop.cancel();
    let (turns, third) = answering(100);
    let last = ground.bench(turns, 2);
    assert_eq!(last.batches.recover().await.unwrap(), 1);
    let batch = last.until_is(&id, "completed").await;
    assert_eq!(
        batch["request_counts"],
        json!({"total": 20, "completed": 20, "failed": 0})
    );
    let output = last.lines(&batch["output_file_id"]).await;
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
    let tidy = ground.bench(ScriptedTurns::playing([]), 2);
    let waiting = async {
        while tidy.batches.recover().await.unwrap() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .expect("nothing is left to do");
}

#[tokio::test]
async fn resumed_batch_without_input_file_fails_and_keeps_finished_lines() {
    let ground = Ground::new(Keys::none()).await;
    let (turns, _) = answering(1);
    let bench = ground.bench(turns, 1);
    let id = bench.begin(&lines(2)).await;
    let batch = bench.until(&id, completed(1)).await;
    bench.stop.cancel();
    let file = batch["input_file_id"].as_str().unwrap();
    bench
        .ask("DELETE", &format!("/v1/files/{file}"), &Value::Null)
        .await;
    let next = ground.bench(ScriptedTurns::playing(greeting()), 1);
    next.batches.recover().await.unwrap();
    let batch = next.until_is(&id, "failed").await;
    assert_eq!(batch["errors"]["data"][0]["code"], "input_file_not_found");
    assert_eq!(ids(&next.lines(&batch["output_file_id"]).await), ["line 1"]);
}
