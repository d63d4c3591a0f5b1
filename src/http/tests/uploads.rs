//! Tests of files that messages name by id.

use super::files::anthropic_upload;
use super::files::found;
use super::files::upload_for;
use super::*;
use crate::accounts::auth::KeyChange;
use crate::accounts::auth::ProjectChange;
use crate::domain::MediaSource;
use crate::domain::Message;
use crate::domain::Part;
use crate::engine::gateway::PipelineHooks;
use crate::engine::gateway::PipelineSteps;
use crate::services::uploads;
use crate::services::uploads::Uploads;

/// Maximum bytes of base64 of the files of a turn.
const LIMIT: u64 = 400;
/// Maximum wait for memory.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(7);

/// Server that answers with the content it was sent.
struct Server {
    router: Router,
    /// Key of another project than that of `secret-1`.
    other_caller: String,
    _folder: tempfile::TempDir,
}

fn render(part: &Part) -> String {
    match part {
        Part::Text(text) => text.clone(),
        Part::Image(MediaSource::Base64 { media_type, data }) => format!("{media_type} {data}"),
        Part::Document {
            source: MediaSource::Base64 { media_type, data },
            title,
        } => {
            format!("{media_type} {data} {}", title.as_deref().unwrap_or("-"))
        }
        Part::ToolResult(result) => result
            .parts
            .iter()
            .map(render)
            .collect::<Vec<_>>()
            .join(" + "),
        other => format!("{other:?}"),
    }
}

fn echo(_: &Caller, turn: &Turn) -> Result<TurnStream, Error> {
    let history = turn.history.iter().flat_map(|Message { parts, .. }| parts);
    let parts: Vec<String> = history.chain(&turn.prompt).map(render).collect();
    Ok(play(vec![started(), text(&parts.join(" | ")), finished()]))
}

impl Server {
    async fn new() -> Self {
        Self::of(ScriptedTurns::new(echo), LIMIT).await
    }

    async fn of(turns: ScriptedTurns, limit: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::temporary(folder.path()).await.unwrap();
        let config = uploads::Config {
            max_turn_bytes: limit,
            queue_timeout: QUEUE_TIMEOUT,
            max_workers: 4,
        };
        let turns = PipelineSteps {
            admission: Arc::new(gateway::testing::admission_deps().await),
            files: Arc::new(Uploads::new(files.clone(), config)),
            hooks: PipelineHooks::default(),
            gateway: Arc::new(turns),
            others: None,
        };
        let registry = Registry::temporary().await.unwrap();
        let named = |name: &str| Some(name.to_owned());
        let project = ProjectChange {
            name: named("other"),
            ..ProjectChange::default()
        };
        let project = registry.create_project(None, project).await.unwrap().id;
        let key = KeyChange {
            name: named("stranger"),
            ..KeyChange::default()
        };
        let other_caller = registry
            .create_key(project, key)
            .await
            .unwrap()
            .1
            .reveal()
            .to_owned();
        let keys = Keys::new(["secret-1"]).unwrap().with_stored(&registry);
        let state = app_state(
            &ResponseTables::temporary(),
            turns,
            keys,
            DrainExpired::default(),
        );
        Self {
            router: router(AppState {
                services: ApiServices {
                    files,
                    ..state.services
                },
                ..state
            }),
            other_caller,
            _folder: folder,
        }
    }

    async fn upload(&self, purpose: &str, name: &str, content: &str) -> String {
        let file = found(&self.router, upload_for(purpose, name, content, &KEY)).await;
        file["id"].as_str().unwrap().to_owned()
    }

    async fn request(&self, path: &str, body: &Value) -> Response {
        send(
            self.router.clone(),
            request("POST", path, &KEY, body.to_string()),
        )
        .await
    }

    async fn chat(&self, part: Value) -> Response {
        let content = json!([{"type": "text", "text": "Read"}, part]);
        self.request(
            "/v1/chat/completions",
            &json!({"model": "m", "messages": [{"role": "user", "content": content}]}),
        )
        .await
    }

    async fn respond(&self, input: Value) -> Response {
        self.request("/v1/responses", &json!({"model": "m", "input": input}))
            .await
    }
}

const KEY: [(&str, &str); 1] = [("authorization", "Bearer secret-1")];

fn file(id: &str) -> Value {
    json!({"type": "file", "file": {"file_id": id}})
}

fn from_user(part: &Value) -> Value {
    json!([{"role": "user", "content": [part]}])
}

async fn answer(response: Response) -> String {
    let body: Value = serde_json::from_str(&body(response).await).unwrap();
    let chat = &body["choices"][0]["message"]["content"];
    let text = chat
        .as_str()
        .or_else(|| body["output"][0]["content"][0]["text"].as_str());
    text.unwrap_or_else(|| panic!("{body}")).to_owned()
}

async fn refusal(response: Response) -> String {
    let (status, error) = error(response).await;
    format!(
        "{} {} {} {}",
        status.as_u16(),
        error["code"],
        error["param"],
        error["message"].as_str().unwrap()
    )
}

#[tokio::test]
async fn file_type_is_detected_from_its_content() {
    let server = Server::new().await;
    // Forms in these tests are text, so a PNG is not among them, but the bytes of a GIF are.
    for (name, content, seen) in [
        ("a.pdf", "%PDF-1", "application/pdf JVBERi0x a.pdf"),
        ("a.png", "GIF89a", "image/gif R0lGODlh"),
        ("a.md", "# Words", "a.md\n\n# Words"),
    ] {
        let id = server.upload("user_data", name, content).await;
        assert_eq!(
            answer(server.chat(file(&id)).await).await,
            format!("Read | {seen}")
        );
        let input = from_user(&json!({"type": "input_file", "file_id": id}));
        assert_eq!(answer(server.respond(input).await).await, seen);
    }
    let id = server.upload("vision", "a.gif", "GIF89a").await;
    let input = from_user(&json!({"type": "input_image", "file_id": id, "detail": "auto"}));
    assert_eq!(
        answer(server.respond(input).await).await,
        "image/gif R0lGODlh"
    );
    let id = server.upload("user_data", "a.pdf", "%PDF-1").await;
    let named = json!({"type": "file", "file": {"file_id": id, "filename": "Other.pdf"}});
    assert_eq!(
        answer(server.chat(named).await).await,
        "Read | application/pdf JVBERi0x Other.pdf"
    );
}

#[tokio::test]
async fn unusable_file_is_refused_at_its_field() {
    let server = Server::new().await;
    let place = "\"messages[0].content[1].file.file_id\"";
    let none = refusal(server.chat(file("file-0")).await).await;
    assert!(
        none.starts_with(&format!("404 \"file_not_found\" {place} ")) && none.contains("'file-0'"),
        "{none}"
    );
    let batch = server.upload("batch", "in.jsonl", "{}").await;
    let refused = refusal(server.chat(file(&batch)).await).await;
    assert!(
        refused.starts_with(&format!("400 \"invalid_value\" {place} "))
            && refused.contains("`user_data`"),
        "{refused}"
    );
    for content in ["\0", " \n"] {
        let id = server.upload("user_data", "a.bin", content).await;
        let refused = refusal(server.chat(file(&id)).await).await;
        assert!(
            refused.starts_with(&format!("400 \"invalid_value\" {place} ")),
            "{refused}"
        );
    }
    let words = server.upload("user_data", "a.png", "no image").await;
    let input = json!([{"role": "user", "content": "x"}, {"role": "user", "content": [{"type": "input_image", "file_id": words}]}]);
    let refused = refusal(server.respond(input).await).await;
    assert!(
        refused.starts_with("400 \"invalid_value\" \"input[1].content[0].file_id\" "),
        "{refused}"
    );
}

#[tokio::test]
async fn file_of_another_project_is_not_found() {
    let server = Server::new().await;
    let id = server.upload("user_data", "a.txt", "Secret words").await;
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": [file(&id)]}]}).to_string();
    let bearer = format!("Bearer {}", server.other_caller);
    let foreign_request = request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        body,
    );
    let refused = refusal(send(server.router.clone(), foreign_request).await).await;
    assert!(
        refused.starts_with("404 \"file_not_found\" \"messages[0].content[0].file.file_id\" "),
        "{refused}"
    );
}

#[tokio::test]
async fn batch_requests_can_name_files() {
    let server = Server::new().await;
    let id = server.upload("user_data", "a.txt", "Words").await;
    let ask =
        |id: &str| json!({"model": "m", "messages": [{"role": "user", "content": [file(id)]}]});
    let answers = server
        .request("/v1/batch", &json!({"requests": [ask(&id), ask("file-0")]}))
        .await;
    let answers = body(answers).await;
    assert!(
        answers.contains("a.txt\\n\\nWords") && answers.contains("file_not_found"),
        "{answers}"
    );
}

#[tokio::test]
async fn total_file_size_per_turn_is_limited() {
    let server = Server::new().await;
    let id = server.upload("user_data", "a.txt", &"x".repeat(150)).await;
    let messages = |count: usize| json!({"model": "m", "messages": [{"role": "user", "content": vec![file(&id); count]}]});
    assert_eq!(
        server
            .request("/v1/chat/completions", &messages(2))
            .await
            .status(),
        StatusCode::OK
    );
    let refused = refusal(server.request("/v1/chat/completions", &messages(3)).await).await;
    assert!(
        refused.starts_with("413 \"request_too_large\" \"messages[0].content[2].file.file_id\" "),
        "{refused}"
    );
}

#[tokio::test]
async fn file_part_takes_exactly_one_source() {
    let server = Server::new().await;
    let both = json!({"type": "file", "file": {"file_id": "file-0", "file_data": "JVBERi0x"}});
    let refused = refusal(server.chat(both).await).await;
    assert!(
        refused.starts_with("400 \"invalid_value\" \"messages[0].content[1].file.file_id\" "),
        "{refused}"
    );
    for part in [
        json!({"type": "input_file", "file_id": "file-0", "file_data": "JVBERi0x"}),
        json!({"type": "input_file", "file_id": "file-0", "file_url": "https://a.example/b.pdf"}),
        json!({"type": "input_image", "file_id": "file-0", "image_url": "https://a.example/b.png"}),
        json!({"type": "input_text", "file_id": "file-0", "text": "x"}),
    ] {
        let refused = refusal(server.respond(from_user(&part)).await).await;
        assert!(
            refused.starts_with("400 \"invalid_value\" \"input[0].content[0].file_id\" "),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn stored_conversation_reads_its_files_again() {
    let server = Server::new().await;
    let id = server.upload("user_data", "a.txt", "Words").await;
    let first = server
        .respond(from_user(&json!({"type": "input_file", "file_id": id})))
        .await;
    let first: Value = serde_json::from_str(&body(first).await).unwrap();
    let next = json!({"model": "m", "previous_response_id": first["id"], "input": "And?"});
    let text = answer(server.request("/v1/responses", &next).await).await;
    assert_eq!(text, "a.txt\n\nWords | a.txt\n\nWords | And?");
    let session = server.request("/v1/sessions", &json!({"model": "m"})).await;
    let session: Value = serde_json::from_str(&body(session).await).unwrap();
    let path = format!("/v1/sessions/{}/messages", session["id"].as_str().unwrap());
    assert_eq!(
        answer(
            server
                .request(&path, &json!({"content": [file(&id)]}))
                .await
        )
        .await,
        "a.txt\n\nWords"
    );
    assert!(
        answer(server.request(&path, &json!({"content": "And?"})).await)
            .await
            .ends_with("| And?")
    );
    found(
        &server.router,
        request("DELETE", &format!("/v1/files/{id}"), &KEY, ""),
    )
    .await;
    let refused = refusal(server.request("/v1/responses", &next).await).await;
    assert!(
        refused.starts_with("404 \"file_not_found\" \"previous_response_id.content[0].file_id\" "),
        "{refused}"
    );
    let refused = refusal(server.request(&path, &json!({"content": "And?"})).await).await;
    assert!(
        refused.starts_with("404 \"file_not_found\" \"messages[0].content[0].file.file_id\" "),
        "{refused}"
    );
}

#[tokio::test]
async fn tool_results_can_be_files_and_count_as_tokens() {
    let server = Server::new().await;
    let id = server.upload("user_data", "a.txt", "Words").await;
    let input = json!([
        {"role": "user", "content": "Look"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file", "file_id": id}]},
    ]);
    let text = answer(server.respond(input).await).await;
    assert!(text.ends_with("| a.txt\n\nWords"), "{text}");
    let count = json!({"model": "m", "input": from_user(&json!({"type": "input_file", "file_id": "file-0"}))});
    let refused = refusal(server.request("/v1/responses/input_tokens", &count).await).await;
    assert!(refused.starts_with("404 \"file_not_found\" "), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn files_of_queued_turns_are_limited_in_memory() {
    let turns = ScriptedTurns::queueing();
    let mut running_turns = turns.watch_running();
    // Eight turns of a KiB each.
    let server = Arc::new(Server::of(turns, 1024).await);
    let id = server.upload("user_data", "a.md", "words").await;
    let tracker = TaskTracker::new();
    let mut waiting: Vec<_> = (0..9)
        .map(|_| {
            let server = Arc::clone(&server);
            let part = file(&id);
            tracker.spawn(async move { server.chat(part).await })
        })
        .collect();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(*running_turns.borrow_and_update(), 8);
    waiting.drain(..8).for_each(|turn| turn.abort());
    sleep(Duration::from_secs(60)).await;
    assert!(
        *running_turns.borrow_and_update() >= 1,
        "those that waited for memory go on"
    );
    waiting.drain(..).for_each(|turn| turn.abort());
}

#[tokio::test(start_paused = true)]
async fn turn_waits_for_file_memory_with_a_timeout() {
    let turns = ScriptedTurns::queueing();
    let mut running_turns = turns.watch_running();
    let server = Arc::new(Server::of(turns, 1024).await);
    let id = server.upload("user_data", "a.md", "words").await;
    let input = from_user(&json!({"type": "input_file", "file_id": id}));
    for _ in 0..9 {
        let behind = json!({"model": "sonnet", "input": input, "background": true});
        assert_eq!(
            server.request("/v1/responses", &behind).await.status(),
            StatusCode::OK
        );
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        *running_turns.borrow_and_update(),
        2,
        "the files of two in the background are in memory"
    );
    let tracker = TaskTracker::new();
    let ask = || {
        let server = Arc::clone(&server);
        let part = file(&id);
        tracker.spawn(async move { server.chat(part).await })
    };
    let waiting: Vec<_> = (0..8).map(|_| ask()).collect();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(*running_turns.borrow_and_update(), 10);
    let started_at = tokio::time::Instant::now();
    let refused = refusal(ask().await.unwrap()).await;
    assert!(
        refused.starts_with(
            "429 \"server_busy\" null All 4 workers of this server were busy for the 7 s"
        ),
        "{refused}"
    );
    assert_eq!(started_at.elapsed().as_secs(), QUEUE_TIMEOUT.as_secs());
    waiting.iter().for_each(|turn| turn.abort());
}

#[tokio::test]
async fn messages_api_names_files_as_sources() {
    let server = Server::new().await;
    let upload = async |name: &str, content: &str| {
        let file = found(&server.router, anthropic_upload(name, "x/y", content, &KEY)).await;
        file["id"].as_str().unwrap().to_owned()
    };
    let ask = async |block: Value| {
        let messages = json!([{"role": "user", "content": [block]}]);
        let fields = json!({"model": "m", "max_tokens": 9, "messages": messages});
        let body: Value =
            serde_json::from_str(&body(server.request("/v1/messages", &fields).await).await)
                .unwrap();
        let text = body["content"][0]["text"]
            .as_str()
            .or_else(|| body["error"]["message"].as_str());
        text.unwrap_or_else(|| panic!("{body}")).to_owned()
    };
    let pdf = upload("a.pdf", "%PDF-1").await;
    let words = upload("a.md", "# Words").await;
    let gif = upload("a.gif", "GIF89a").await;
    let block =
        |kind: &str, id: &str| json!({"type": kind, "source": {"type": "file", "file_id": id}});
    assert_eq!(
        ask(block("document", &pdf)).await,
        "application/pdf JVBERi0x a.pdf"
    );
    assert_eq!(ask(block("document", &words)).await, "a.md\n\n# Words");
    assert_eq!(ask(block("image", &gif)).await, "image/gif R0lGODlh");
    let missing = ask(block("image", "file-0")).await;
    assert!(
        missing.contains("`messages[0].content[0].source.file_id`") && missing.contains("file-0"),
        "{missing}"
    );

    // Fields that are passed through to Claude are filled in too.
    let mut marked = block("document", &pdf);
    marked["cache_control"] = json!({"type": "ephemeral"});
    let answer = ask(marked).await;
    assert!(
        answer.contains("JVBERi0x") && answer.contains("ephemeral") && !answer.contains(&pdf),
        "{answer}"
    );
    let mut cited = block("document", &words);
    cited["citations"] = json!({"enabled": true});
    let answer = ask(json!({"type": "tool_result", "tool_use_id": "t", "content": [cited]})).await;
    assert!(
        answer.contains("# Words") && !answer.contains(&words),
        "{answer}"
    );
    let mut odd = block("document", &gif);
    odd["title"] = json!("x");
    odd["context"] = json!("y");
    assert!(ask(odd).await.contains("is an image"));
    // File format of Anthropic's API.
    let own = ask(block("document", "file_011")).await;
    assert!(own.contains("file_011") && own.contains("Native"), "{own}");
}
