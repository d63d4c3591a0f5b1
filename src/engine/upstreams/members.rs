//! Check of the names in a JSON request: some servers compare them without their case.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::Visitor;

/// Members that this server reads, or shows to hooks.
const READ_MEMBERS: [&str; 17] = [
    "model",
    "stream",
    "stream_format",
    "stream_options",
    "input",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "user",
    "safety_identifier",
    "messages",
    "instructions",
    "prompt",
    "max_output_tokens",
    "background",
    "previous_response_id",
    "conversation",
];

/// JSON object each of whose members has a name that all servers read alike: none differs by its
/// case alone from one that this server reads, and none of those is there twice.
#[derive(Debug)]
pub(super) struct CheckedMembers;

struct MembersVisitor;

impl<'de> Deserialize<'de> for CheckedMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = CheckedMembers;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CheckedMembers, A::Error> {
        let mut seen = [false; READ_MEMBERS.len()];
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<IgnoredAny>()?;
            let read = READ_MEMBERS.iter().position(|read| is_read_as(&name, read));
            let Some(index) = read else {
                continue;
            };
            let read = READ_MEMBERS[index];
            if name != read {
                let message = format!("`{name}` differs from `{read}` by its case alone");
                return Err(A::Error::custom(message));
            }
            if std::mem::replace(&mut seen[index], true) {
                return Err(A::Error::custom(format!("duplicate field `{read}`")));
            }
        }
        Ok(CheckedMembers)
    }
}

/// True if a server that compares names without their case reads `name` as `read`. Two letters beyond
/// ASCII have an ASCII one as their other case.
pub fn is_read_as(name: &str, read: &str) -> bool {
    let folded = name.chars().map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    });
    folded.eq(read.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_that_servers_may_read_in_two_ways_is_refused() {
        for (json, part) in [
            (r#"{"model":"a","Model":"b"}"#, "by its case alone"),
            (r#"{"MODEL":"b"}"#, "by its case alone"),
            ("{\"me\u{17f}\u{17f}ages\":[]}", "by its case alone"),
            (r#"{"messages":[],"messages":[]}"#, "duplicate field"),
            (r#"{"messages":[],"mess\u0061ges":[]}"#, "duplicate field"),
            ("[]", "a JSON object"),
        ] {
            let error = serde_json::from_str::<CheckedMembers>(json).unwrap_err();
            assert!(error.to_string().contains(part), "{json}: {error}");
        }
        let fine = r#"{"model":"a","Other":1,"other":2,"Other":1e400}"#;
        assert!(serde_json::from_str::<CheckedMembers>(fine).is_ok());
    }
}
