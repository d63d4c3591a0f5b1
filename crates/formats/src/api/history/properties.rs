//! Invariants of every repaired conversation.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::api::request_schema::Policy;
use crate::domain::ToolResult;
use crate::domain::ToolUse;

fn part() -> impl Strategy<Value = Part> {
    let id = || proptest::sample::select(vec!["a", "b", "call-1", "c d"]).prop_map(str::to_owned);
    let input = proptest::sample::select(vec!["{}", "[1]", ""]).prop_map(str::to_owned);
    prop_oneof![
        proptest::sample::select(vec!["x", " ", "y"]).prop_map(Part::text),
        Just(Part::Instruction("z".to_owned())),
        (id(), input).prop_map(|(id, input)| Part::ToolUse(ToolUse {
            id,
            name: "look".into(),
            input
        })),
        id().prop_map(|id| Part::ToolResult(ToolResult {
            id,
            parts: vec![Part::text("z")],
            is_error: false
        })),
    ]
}

/// Generates messages as clients may send them: each role has only the parts that its APIs allow.
fn messages() -> impl Strategy<Value = Vec<Message>> {
    let message = (any::<bool>(), vec(part(), 0..4)).prop_map(|(is_user, mut parts)| {
        let role = if is_user { Role::User } else { Role::Assistant };
        let foreign = |part: &Part| match part {
            Part::ToolUse(_) => is_user,
            Part::ToolResult(_) | Part::Instruction(_) => !is_user,
            _ => false,
        };
        parts.retain(|part| !foreign(part));
        Message { role, parts }
    });
    vec(message, 0..7)
}

fn finish(
    messages: &[Message],
    merges: bool,
    policy: Policy,
) -> Result<(RepairedConversation, Vec<&'static str>), InvalidRequest> {
    let mut draft = HistoryDraft::new(DraftRules {
        field: "messages",
        merges,
        is_paused: |_| false,
    });
    for message in messages {
        let piece = |part: &Part| DraftPart {
            part: part.clone(),
            path: "part".into(),
        };
        draft.add_message(
            message.role,
            "content",
            message.parts.iter().map(piece).collect(),
        );
    }
    let mut ignored = RemarkCollector::new(policy);
    let conversation = draft.finish(|| Some("Sing.".to_owned()), &mut ignored)?;
    Ok((conversation, ignored.into_remarks().repaired))
}

fn whole(conversation: &RepairedConversation) -> Vec<Message> {
    let prompt = Message {
        role: Role::User,
        parts: conversation.prompt.clone(),
    };
    conversation
        .history
        .iter()
        .cloned()
        .chain([prompt])
        .collect()
}

/// Returns the ids of the calls of a message, or of its results.
fn ids(parts: &[Part], are_calls: bool) -> Vec<&str> {
    let mut ids = Vec::new();
    for part in parts {
        match part {
            Part::ToolUse(call) if are_calls => ids.push(call.id.as_str()),
            Part::ToolResult(result) if !are_calls => ids.push(result.id.as_str()),
            _ => {}
        }
    }
    ids.sort_unstable();
    ids
}

proptest! {
    #[test]
    fn repaired_conversation_satisfies_upstream_rules(messages in messages(), merges in any::<bool>()) {
        let (conversation, repaired) = finish(&messages, merges, Policy::Lenient).unwrap();
        prop_assert_eq!(finish(&messages, merges, Policy::Strict).is_ok(), repaired.is_empty());
        let whole = whole(&conversation);
        prop_assert!(whole.iter().all(|message| !message.parts.is_empty()));
        let mut open = Vec::new();
        let mut all = Vec::new();
        for message in &whole {
            prop_assert_eq!(ids(&message.parts, false), open);
            let results = message.parts.iter().take_while(|part| results::call_id(part).is_some()).count();
            prop_assert_eq!(results, ids(&message.parts, false).len(), "results stand in front");
            open = ids(&message.parts, true);
            all.extend(open.clone());
        }
        prop_assert!(open.is_empty());
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(all.len(), count, "no two calls have one id");
    }

    #[test]
    fn repair_is_idempotent(messages in messages(), merges in any::<bool>()) {
        let (conversation, _) = finish(&messages, merges, Policy::Lenient).unwrap();
        prop_assert_eq!(finish(&whole(&conversation), merges, Policy::Strict), Ok((conversation, Vec::new())));
    }
}
