use serde_json::Value;
use serde_json::json;

use super::*;
use crate::http::schema_document::check_own;
use crate::http::schema_document::check_struct;
use crate::http::v1::tasks::fields;

#[test]
fn document_lists_task_fields() {
    check_struct::<TaskFields>(&fields::TASK);
    check_struct::<HandoverFields>(&fields::HANDOVER);
    check_struct::<ToolFields>(&fields::TOOLS);
    check_struct::<WebhookFields>(&fields::WEBHOOK);
    check_struct::<DecisionFields>(&fields::DECISION);
    check_struct::<PermissionFields>(&fields::SOCKET);
    let tables = [&fields::TASK, &fields::TOOLS, &fields::WEBHOOK];
    check_own("task fields", &tables);
    check_own("task handover fields", &[&fields::HANDOVER]);
    check_own("task answer fields", &[&fields::DECISION]);
    check_own("task socket fields", &[&fields::SOCKET]);
}

#[test]
fn words_of_the_tables_are_those_of_the_enums() {
    let words = |name: &str| fields::TASK.find(name).unwrap().one_of.to_vec();
    for word in words("preset") {
        assert!(serde_json::from_value::<ToolPreset>(word.into()).is_ok());
    }
    for word in words("permission_mode") {
        assert!(serde_json::from_value::<PermissionMode>(word.into()).is_ok());
    }
}

fn read(fields: Value) -> CreateTaskRequest {
    let mut body = json!({"prompt": "do it", "workspace": "/work"});
    let Value::Object(fields) = fields else {
        panic!("no fields")
    };
    body.as_object_mut().unwrap().extend(fields);
    create(body.to_string().as_bytes(), &ModelName::new("sonnet")).unwrap()
}

#[test]
fn task_defaults_are_the_most_restrictive() {
    let CreateTaskRequest {
        spec,
        webhook,
        project,
    } = read(json!({}));
    assert_eq!(
        (spec.model.as_str(), spec.tools),
        ("sonnet", vec!["Read", "Glob", "Grep"])
    );
    assert_eq!(spec.permission_mode, PermissionMode::DontAsk);
    assert!(spec.max_turns.is_none() && spec.max_budget.is_none() && spec.timeout.is_none());
    assert!(spec.session.is_none() && webhook.is_none() && project.is_none());
}

#[test]
fn task_budget_is_parsed_exactly() {
    for (amount, nanos) in [
        (json!("0.5"), 500_000_000),
        (json!(0.1), 100_000_000),
        (json!(2), 2_000_000_000),
    ] {
        assert_eq!(
            read(json!({"max_budget_usd": amount})).spec.max_budget,
            Some(Money::from_nanos(nanos))
        );
    }
}

#[test]
fn denial_message_is_passed_to_the_agent() {
    let words = |body: Value| match answer(body.to_string().as_bytes()).unwrap() {
        PermissionDecision::Deny(words) => words,
        PermissionDecision::Allow => "allowed".to_owned(),
    };
    assert_eq!(words(json!({"decision": "allow"})), "allowed");
    assert_eq!(
        words(json!({"decision": "deny", "message": "Not on a Friday."})),
        "Not on a Friday."
    );
    assert_eq!(words(json!({"decision": "deny"})), DEFAULT_DENIAL);
}
