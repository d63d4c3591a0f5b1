//! Field table of completion requests.

use crate::api::openai::chat::STREAM_OPTIONS;
use crate::api::request_schema::FieldType::Bool;
use crate::api::request_schema::FieldType::Integer;
use crate::api::request_schema::FieldType::Number;
use crate::api::request_schema::FieldType::Object;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::FieldType::TextOrArray;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::PROJECT;
use crate::api::request_schema::emulated;
use crate::api::request_schema::honoured;
use crate::api::request_schema::ignored;
use crate::api::request_schema::refused;

/// Upper bound of a token limit.
const MAX_TOKENS: i64 = u32::MAX as i64;

/// Fields of the request body.
pub static REQUEST: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "model",
            Text,
            "The answer carries the name as it was sent.",
        )
        .required(),
        honoured(
            "prompt",
            TextOrArray,
            "A string, or up to 16 strings, each of which is answered separately. Tokens are refused.",
        )
        .required()
        .of_texts(),
        honoured("stream", Bool, "The answer is streamed."),
        honoured(
            "stream_options",
            Object,
            "Only together with `\"stream\": true`.",
        )
        .with_inner(&STREAM_OPTIONS),
        emulated(
            "max_tokens",
            Integer(0, MAX_TOKENS),
            "16 by default, as in OpenAI's API. With 0 the answer has no text but the prompt's `echo`; Claude generates one token, which `usage` counts.",
        ),
        emulated(
            "temperature",
            Number(0.0, 2.0),
            "Claude's range ends at 1: higher values act as 1. The newest models accept none: see [models](#what-models-do-not-take).",
        ),
        honoured("top_p", Number(0.0, 1.0), "Sent to Claude unchanged."),
        emulated(
            "stop",
            TextOrArray,
            "As in [chat](#stop-texts): any number, white space too.",
        )
        .of_texts(),
        honoured(
            "n",
            Integer(1, 8),
            "Number of answers to each prompt; at most 16 in all. Each comes from a run of its own, and `usage` is their sum.",
        ),
        honoured("echo", Bool, "The prompt stands before its answer."),
        honoured("user", Text, "Names the [end user](end-users.md). Not sent to Claude."),
        PROJECT,
        refused("suffix", Text, "Claude does not fill gaps.").with_no_op(&["\"\""]),
        refused(
            "best_of",
            Integer(1, 20),
            "Claude does not rate its answers.",
        )
        .with_no_op(&["1"]),
        refused(
            "logprobs",
            Integer(0, 5),
            "Claude does not return token probabilities.",
        ),
        ignored(
            "frequency_penalty",
            Number(-2.0, 2.0),
            "Claude has no such parameter.",
        )
        .with_no_op(&["0"]),
        ignored(
            "presence_penalty",
            Number(-2.0, 2.0),
            "Claude has no such parameter.",
        )
        .with_no_op(&["0"]),
        ignored("logit_bias", Object, "Claude has no such parameter.").with_no_op(&["{}"]),
        emulated(
            "seed",
            Integer(i64::MIN, i64::MAX),
            "Equal requests with a seed get one answer, as long as it is in the cache. Claude itself has no such parameter.",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::REQUEST;
    use crate::api::request_schema::document;
    use async_openai::types::completions::CreateCompletionRequest;

    #[test]
    fn field_table_matches_document() {
        document::check("completions", &[&REQUEST]);
    }

    #[test]
    fn completion_fields_of_the_openai_schema_have_rows() {
        for name in document::fields_of::<CreateCompletionRequest>() {
            assert!(REQUEST.find(name).is_some(), "no row for {name}");
        }
    }
}
