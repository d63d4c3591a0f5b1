//! Fallbacks to other models, with the real CLI.

use crate::charges::stop_and_list_charges;
use crate::support::TestServer;

const RULE: &str = r#"[{ on = ["overload"], models = ["sonnet"], to = ["haiku"] }]"#;

/// Overloads the first call and the one retry of the CLI, and then no more.
const OVERLOADED_TWICE: &str = "[[status=529 times=2 tokens=2]]";

#[tokio::test(flavor = "multi_thread")]
async fn overloaded_model_is_answered_by_another_one_and_charged_once() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_FALLBACKS__LIST", RULE)
        .set("SWITCHBOARD_CLAUDE__MAX_RETRIES", 1)
        .start()
        .await;
    let answer = server
        .chat(OVERLOADED_TWICE)
        .with("model", "sonnet")
        .send()
        .await;
    assert_eq!(answer.text(), "w1 w2");
    assert_eq!(
        answer.headers["x-switchboard-fallback"],
        "claude-haiku-5-5; on=overload"
    );
    assert_eq!(answer.headers["x-switchboard-model"], "claude-haiku-5-5");
    let charges = stop_and_list_charges(server).await;
    let models: Vec<&str> = charges.iter().map(|charge| charge.model.as_str()).collect();
    assert_eq!(models, ["claude-haiku-5-5"]);
}
