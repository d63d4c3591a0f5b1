//! Tests of running batch lines.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Surface;
use crate::http::tests::surfaces::SeenSurfaces;

#[tokio::test]
async fn batch_output_is_in_the_order_of_the_file() {
    let server = BatchServer::start(ScriptedTurns::playing(greeting_steps())).await;
    let mut file = lines(5);
    file[1]["body"]["temperature"] = json!("hot");
    file[2]["body"]["color"] = json!("red");
    file[3]["body"]["stream"] = json!(true);
    let mut order = batch_request(&server.upload_lines(&file).await);
    order["metadata"] = json!({"job": "nightly"});
    let created = server.call("POST", "/v1/batches", &order).await;
    let batch = server
        .wait_for_status(created["id"].as_str().unwrap(), "completed")
        .await;
    assert_eq!(
        batch["request_counts"],
        json!({"total": 5, "completed": 3, "failed": 2})
    );
    assert_eq!(
        (&batch["model"], &batch["metadata"]),
        (&json!("sonnet"), &json!({"job": "nightly"}))
    );
    assert_eq!(batch["usage"]["total_tokens"], 15);
    for time in [
        "created_at",
        "in_progress_at",
        "expires_at",
        "finalizing_at",
        "completed_at",
    ] {
        assert!(batch[time].is_u64(), "{time}: {batch}");
    }
    let output = server.read_lines(&batch["output_file_id"]).await;
    assert_eq!(ids(&output), ["line 1", "line 3", "line 5"]);
    let response = &output[0]["response"];
    assert_eq!(
        (&response["status_code"], &output[0]["error"]),
        (&json!(200), &Value::Null)
    );
    assert_eq!(
        response["body"]["choices"][0]["message"]["content"],
        "Hello"
    );
    assert!(response["request_id"].as_str().unwrap().starts_with("req_"));
    assert_eq!(output[1]["response"]["ignored"], json!(["color"]));
    let errors = server.read_lines(&batch["error_file_id"]).await;
    assert_eq!(ids(&errors), ["line 2", "line 4"]);
    assert_eq!(errors[0]["response"]["status_code"], 400);
    assert_eq!(
        errors[0]["response"]["body"]["error"]["param"],
        "temperature"
    );
    assert_eq!(errors[1]["response"]["body"]["error"]["param"], "stream");
    let file = server
        .call(
            "GET",
            &format!("/v1/files/{}", batch["error_file_id"].as_str().unwrap()),
            &Value::Null,
        )
        .await;
    assert_eq!(file["purpose"], "batch_output");
}

#[tokio::test]
async fn batch_lines_work_for_every_endpoint() {
    let server = BatchServer::start(ScriptedTurns::playing(greeting_steps())).await;
    for (endpoint, body, text) in [
        (
            "/v1/completions",
            json!({"model": "sonnet", "prompt": "Hi"}),
            "/choices/0/text",
        ),
        (
            "/v1/responses",
            json!({"model": "sonnet", "input": "Hi"}),
            "/output/0/content/0/text",
        ),
    ] {
        let line = json!({"custom_id": "a", "method": "POST", "url": endpoint, "body": body});
        let mut order = batch_request(&server.upload_lines(&[line]).await);
        order["endpoint"] = json!(endpoint);
        let created = server.call("POST", "/v1/batches", &order).await;
        let batch = server
            .wait_for_status(created["id"].as_str().unwrap(), "completed")
            .await;
        let output = server.read_lines(&batch["output_file_id"]).await;
        assert_eq!(
            output[0]["response"]["body"].pointer(text),
            Some(&json!("Hello")),
            "{output:?}"
        );
        assert_eq!(batch["usage"]["total_tokens"], 5);
    }
}

/// A line with a known retry time waits for it, a transient error is retried, a permanent one is
/// not; and a waiting line delays no other.
#[tokio::test(start_paused = true)]
async fn batch_line_is_retried_by_kind_of_error() {
    let refusals = Mutex::new(vec![
        Error::Busy {
            workers: 1,
            reason: crate::engine::gateway::BusyReason::QueueFull,
            retry_after: Duration::from_secs(3600),
        },
        Error::Failed(Failure::new(FailureKind::Crashed, "It died.")),
    ]);
    let (turns, log) = logged_turns(move |prompt| match prompt {
        "line 1" => refusals
            .lock()
            .unwrap()
            .pop()
            .map_or(Ok(greeting_steps()), Err),
        "line 2" => Err(Error::NotSignedIn("Sign in.".into())),
        "line 3" => Err(Error::Failed(Failure::new(
            FailureKind::Upstream,
            "It failed.",
        ))),
        _ => Ok(greeting_steps()),
    });
    let server = BatchServer::start(turns).await;
    let id = server.create_batch(&lines(6)).await;
    let over = |batch: &Value| batch["status"] == "completed";
    let batch = loop {
        let batch = server.get(&id).await;
        if over(&batch) {
            break batch;
        }
        sleep(Duration::from_secs(60)).await;
    };
    assert_eq!(
        batch["request_counts"],
        json!({"total": 6, "completed": 4, "failed": 2})
    );
    let errors = server.read_lines(&batch["error_file_id"]).await;
    let messages: Vec<_> = errors
        .iter()
        .map(|line| line["response"]["status_code"].as_u64().unwrap())
        .collect();
    assert_eq!(
        (ids(&errors), messages),
        (vec!["line 2", "line 3"], vec![401, 502])
    );
    let log = log.lock().unwrap();
    let times = |prompt: &str| log.iter().filter(|text| *text == prompt).count();
    assert_eq!(
        [
            times("line 1"),
            times("line 2"),
            times("line 3"),
            times("line 4")
        ],
        [3, 1, 4, 1]
    );
    assert_eq!(
        log.last().unwrap(),
        "line 1",
        "the others did not wait for it"
    );
}

/// Turns of a server with this many clients in the queue.
struct TurnsWithQueuedClients(ScriptedTurns, Arc<AtomicUsize>);

impl Turns for TurnsWithQueuedClients {
    fn run(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        self.0.run(caller, turn)
    }

    fn count_tokens(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        self.0.count_tokens(caller, turn)
    }

    fn resolve(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        self.0.resolve(caller, turn)
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        self.0.models()
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            waiting: self.1.load(Ordering::SeqCst),
            ..Readiness::default()
        }
    }
}

#[tokio::test(start_paused = true)]
async fn batch_lines_yield_to_clients_and_batches_share_fairly() {
    let (turns, log) = logged_turns(|_| Ok(greeting_steps()));
    let waiting = Arc::new(AtomicUsize::new(1));
    let server = BatchStorage::new(Keys::none())
        .await
        .start_server(TurnsWithQueuedClients(turns, Arc::clone(&waiting)), 1);
    let named = |name: &str| {
        (1..=3)
            .map(|number| line(&format!("{name}{number}")))
            .collect::<Vec<_>>()
    };
    let first = server.create_batch(&named("a")).await;
    server.wait_for_status(&first, "in_progress").await;
    let second = server.create_batch(&named("b")).await;
    server.wait_for_status(&second, "in_progress").await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(log.lock().unwrap().len(), 0, "a client waits");
    waiting.store(0, Ordering::SeqCst);
    server.wait_for_status(&first, "completed").await;
    server.wait_for_status(&second, "completed").await;
    assert_eq!(*log.lock().unwrap(), ["a1", "b1", "a2", "b2", "a3", "b3"]);
}

#[tokio::test(start_paused = true)]
async fn batch_lines_are_not_starved_by_clients() {
    let (turns, log) = logged_turns(|_| Ok(greeting_steps()));
    let server = BatchStorage::new(Keys::none()).await.start_server(
        TurnsWithQueuedClients(turns, Arc::new(AtomicUsize::new(1))),
        1,
    );
    server.create_batch(&lines(2)).await;
    for _ in 0..1000 {
        if log.lock().unwrap().len() == 2 {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
    panic!("{:?}", log.lock().unwrap());
}

#[tokio::test]
async fn batch_lines_in_parallel_are_limited() {
    let turns = ScriptedTurns::playing(
        [
            vec![started(), Step::Wait(Duration::from_millis(5))],
            greeting_steps(),
        ]
        .concat(),
    );
    let mut running_turns = turns.watch_running();
    let server = BatchStorage::new(Keys::none()).await.start_server(turns, 2);
    let mut peak = 0;
    let running = async {
        let ids = [
            server.create_batch(&lines(4)).await,
            server.create_batch(&lines(4)).await,
        ];
        for id in &ids {
            server.wait_for_status(id, "completed").await;
        }
    };
    let watching = async {
        while running_turns.changed().await.is_ok() {
            peak = peak.max(*running_turns.borrow_and_update());
        }
    };
    tokio::select! { () = running => {}, () = watching => {} }
    assert_eq!(peak, 2);
}

#[tokio::test]
async fn turns_of_lines_name_the_api_of_batches() {
    let seen = SeenSurfaces::default();
    let server = BatchServer::start(seen.turns()).await;
    let id = server.create_batch(&lines(2)).await;
    server
        .wait_until(&id, |batch| batch["status"] == "completed")
        .await;
    assert_eq!(seen.take(), [Surface::Batches; 2]);
}

#[tokio::test]
async fn operator_sees_batches_of_all_projects_and_their_failed_lines() {
    let server = BatchServer::start(ScriptedTurns::playing(greeting_steps())).await;
    let mut file = lines(4);
    file[1]["body"]["temperature"] = json!("hot");
    file[3]["body"]["stream"] = json!(true);
    let id = server.create_batch(&file).await;
    server.wait_for_status(&id, "completed").await;
    let found = server.batches.find(&id).await.unwrap();
    assert_eq!(
        (found.project.as_str(), found.owner.as_str()),
        ("default", "local")
    );
    let (failures, has_more) = server.batches.failures(&found, 1).await.unwrap();
    assert_eq!((failures.len(), has_more), (1, true));
    assert_eq!(
        (failures[0].custom_id.as_str(), failures[0].status),
        ("line 2", Some(400))
    );
    let (failures, has_more) = server.batches.failures(&found, 9).await.unwrap();
    assert_eq!((failures.len(), has_more), (2, false));
    let listed = server.batches.list_all_projects().await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&found));
    let over = server.batches.cancel_found(&found).await;
    assert!(over.is_err(), "it has ended");
    assert!(server.batches.find("batch_unknown").await.is_err());
}
