//! Tests of hand-overs of tasks.

use super::*;

/// Hands a task over with the prompt of the test server.
async fn hand_over(server: &TaskTestServer, id: &str) -> Result<Task, Error> {
    let spec = server.spec();
    let spec = server.tasks.prepare_handover(&me(), id, spec).await?;
    server.tasks.create(&me(), spec).await
}

#[tokio::test(start_paused = true)]
async fn ended_task_is_handed_over_with_its_result() {
    let mut server = TaskTestServer::open().await;
    let first = server.create().await;
    let agent = server.agents.recv().await.unwrap();
    agent.emit(AgentEvent::ToolResult {
        id: "toolu_1".to_owned(),
        content: "ok".to_owned(),
        is_error: false,
        change: Some(FileChange {
            path: "notes.md".into(),
            is_new: true,
        }),
    });
    agent.end(AgentStop::Completed, "0.25");
    server.wait_until_ended(&first.id).await;

    let second = hand_over(&server, &first.id).await.unwrap();
    assert_eq!(second.parent_id(), Some(&*first.id));
    let agent = server.agents.recv().await.unwrap();
    assert_eq!(agent.job.workspace, second.workspace);
    let (prompt, report) = agent.job.prompt.split_once("\n\n").unwrap();
    assert_eq!(prompt, "do it");
    let lines: Vec<&str> = report.lines().collect();
    let mark = lines[1].split(' ').nth(2).unwrap();
    assert_eq!(lines[1], format!("--- report {mark} begins ---"));
    assert_eq!(lines.last(), Some(&&*format!("--- report {mark} ends ---")));
    let inner = lines[2..lines.len() - 1].join("\n");
    let expected = format!(
        "task: {}\nstatus: completed\ncreated: notes.md\nresult:\nwords",
        first.id
    );
    assert_eq!(inner, expected);

    let events = server.read_events(&first.id, 2).await;
    let expected = format!(
        "2 {{\"result\":\"words\",\"status\":\"completed\",\"type\":\"complete\"}}\n\
         3 {{\"to_task_id\":\"{}\",\"type\":\"handed_over\"}}\n",
        second.id
    );
    assert_eq!(events, expected);
    let first = server.tasks.get(&me(), &first.id).await.unwrap();
    assert_eq!((first.event_count(), first.children), (4, vec![second.id]));
}

#[tokio::test(start_paused = true)]
async fn interrupted_task_is_handed_over_with_its_last_message() {
    let mut server = TaskTestServer::open().await;
    let first = server.create().await;
    let agent = server.agents.recv().await.unwrap();
    agent.emit(AgentEvent::Message("I have read half of it.".to_owned()));
    agent.end(AgentStop::Interrupted, "0.25");
    server.wait_until_ended(&first.id).await;
    hand_over(&server, &first.id).await.unwrap();
    hand_over(&server, &first.id).await.unwrap_err();
    let agent = server.agents.recv().await.unwrap();
    let prompt = &agent.job.prompt;
    let message = "status: interrupted\nlast message:\nI have read half of it.\n---";
    assert!(prompt.contains(message), "{prompt}");
}

#[tokio::test(start_paused = true)]
async fn running_and_foreign_tasks_are_not_handed_over() {
    let mut server = TaskTestServer::open().await;
    let first = server.create().await;
    let _agent = server.agents.recv().await.unwrap();
    let running = hand_over(&server, &first.id).await;
    assert!(matches!(running, Err(Error::TaskNotEnded)), "{running:?}");
    let other = Caller::named("other");
    let spec = server.spec();
    let foreign = server.tasks.prepare_handover(&other, &first.id, spec).await;
    assert!(matches!(foreign, Err(Error::NotFound(_))), "{foreign:?}");
}
