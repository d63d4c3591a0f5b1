//! async-openai: chat completions, streams, tools and responses. Its types reject missing fields and wrong types.

use std::env;

use async_openai::{
    Client,
    config::OpenAIConfig,
    error::OpenAIError,
    types::{
        chat::{ChatCompletionMessageToolCalls, CreateChatCompletionRequest, FinishReason},
        responses::{CreateResponse, OutputItem, ResponseStreamEvent, Status},
    },
};
use futures::StreamExt;
use serde_json::{Value, from_str, from_value, json};

const TWELVE: &str = "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12";
const PARIS: &str = r#"[[tool=get_weather input={"city":"Paris"}]]"#;
const AGED: &str = r#"[[say="{\"age\":36}"]]"#;

fn client() -> Client<OpenAIConfig> {
    let variable =
        |name| env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use compat-tests/run"));
    let config = OpenAIConfig::new()
        .with_api_base(variable("BASE_URL"))
        .with_api_key(variable("API_KEY"));
    Client::with_config(config)
}

fn chat(messages: Value) -> CreateChatCompletionRequest {
    from_value(json!({"model": "sonnet", "messages": messages})).unwrap()
}

fn with_weather(messages: Value) -> CreateChatCompletionRequest {
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let tool =
        json!({"type": "function", "function": {"name": "get_weather", "parameters": parameters}});
    from_value(json!({"model": "sonnet", "messages": messages, "tools": [tool]})).unwrap()
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

fn age() -> Value {
    let properties = json!({"age": {"type": "integer"}});
    json!({"type": "object", "properties": properties, "required": ["age"], "additionalProperties": false})
}

#[tokio::test]
async fn completion_has_text_finish_reason_and_usage() {
    let answer = client()
        .chat()
        .create(chat(user("[[tokens=12]]")))
        .await
        .unwrap();
    let [choice] = answer.choices.as_slice() else {
        panic!("{answer:?}")
    };
    assert_eq!(choice.message.content.as_deref(), Some(TWELVE));
    assert_eq!(choice.finish_reason, Some(FinishReason::Stop));
    assert_eq!(answer.usage.unwrap().completion_tokens, 12);
}

#[tokio::test]
async fn stream_has_the_whole_text_and_usage() {
    let mut request = chat(user("[[tokens=12]]"));
    request.stream_options = Some(from_value(json!({"include_usage": true})).unwrap());
    let chunks: Vec<_> = client()
        .chat()
        .create_stream(request)
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    let text: String = chunks
        .iter()
        .flat_map(|chunk| &chunk.choices)
        .filter_map(|of| of.delta.content.clone())
        .collect();
    assert_eq!(text, TWELVE);
    assert_eq!(
        chunks
            .last()
            .unwrap()
            .usage
            .as_ref()
            .unwrap()
            .completion_tokens,
        12
    );
}

#[tokio::test]
async fn tool_call_and_its_result_reach_the_model() {
    let client = client();
    let answer = client
        .chat()
        .create(with_weather(user(PARIS)))
        .await
        .unwrap();
    assert_eq!(
        answer.choices[0].finish_reason,
        Some(FinishReason::ToolCalls)
    );
    let calls = answer.choices[0].message.tool_calls.clone().unwrap();
    let [ChatCompletionMessageToolCalls::Function(call)] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(call.function.name, "get_weather");
    assert_eq!(
        from_str::<Value>(&call.function.arguments).unwrap(),
        json!({"city": "Paris"})
    );
    let messages = json!([
        {"role": "user", "content": PARIS},
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
    ]);
    let answer = client.chat().create(with_weather(messages)).await.unwrap();
    assert_eq!(
        answer.choices[0].message.content.as_deref(),
        Some("Tool results: 18 degrees")
    );
}

#[tokio::test]
async fn stream_has_the_tool_calls() {
    let mut stream = client()
        .chat()
        .create_stream(with_weather(user(PARIS)))
        .await
        .unwrap();
    let mut names = Vec::new();
    let mut arguments = String::new();
    let mut finish = None;
    while let Some(chunk) = stream.next().await {
        let choice = chunk.unwrap().choices.remove(0);
        finish = choice.finish_reason.or(finish);
        for function in choice
            .delta
            .tool_calls
            .into_iter()
            .flatten()
            .filter_map(|call| call.function)
        {
            names.extend(function.name);
            arguments += &function.arguments.unwrap_or_default();
        }
    }
    assert_eq!(
        (names, finish),
        (
            vec!["get_weather".to_owned()],
            Some(FinishReason::ToolCalls)
        )
    );
    assert_eq!(
        from_str::<Value>(&arguments).unwrap(),
        json!({"city": "Paris"})
    );
}

#[tokio::test]
async fn structured_output_matches_the_schema() {
    let mut request = chat(user(AGED));
    let kind = json!({"type": "json_schema", "json_schema": {"name": "person", "schema": age(), "strict": true}});
    request.response_format = Some(from_value(kind).unwrap());
    let answer = client().chat().create(request).await.unwrap();
    let content = answer.choices[0].message.content.as_deref().unwrap();
    assert_eq!(from_str::<Value>(content).unwrap(), json!({"age": 36}));
}

#[tokio::test]
async fn failure_names_the_field_and_code() {
    let mut request = chat(user("Hi."));
    request.temperature = Some(3.0);
    let Err(OpenAIError::ApiError(error)) = client().chat().create(request).await else {
        panic!("no such failure")
    };
    let message = format!("{error:?}");
    assert!(
        message.contains("temperature") && message.contains("invalid_value"),
        "{message}"
    );
}

#[tokio::test]
async fn model_list_has_the_aliases() {
    let models = client().models().list().await.unwrap();
    assert!(models.data.iter().any(|model| model.id == "sonnet"));
}

fn response(input: Value) -> CreateResponse {
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let tool = json!({"type": "function", "name": "get_weather", "parameters": parameters, "strict": false});
    from_value(json!({"model": "sonnet", "input": input, "tools": [tool]})).unwrap()
}

#[tokio::test]
async fn response_has_text_status_and_usage() {
    let response = client()
        .responses()
        .create(response(json!("[[tokens=12]]")))
        .await
        .unwrap();
    assert_eq!(response.status, Status::Completed);
    assert_eq!(response.output_text().as_deref(), Some(TWELVE));
    assert_eq!(response.usage.unwrap().output_tokens, 12);
}

#[tokio::test]
async fn response_stream_has_the_whole_text() {
    let stream = client()
        .responses()
        .create_stream(response(json!("[[tokens=12]]")))
        .await
        .unwrap();
    let events: Vec<_> = stream.map(Result::unwrap).collect().await;
    let deltas = events.iter().filter_map(|event| match event {
        ResponseStreamEvent::ResponseOutputTextDelta(event) => Some(event.delta.as_str()),
        _ => None,
    });
    assert_eq!(deltas.collect::<String>(), TWELVE);
    let Some(ResponseStreamEvent::ResponseCompleted(last)) = events.last() else {
        panic!("{:?}", events.last())
    };
    assert_eq!(last.response.output_text().as_deref(), Some(TWELVE));
}

#[tokio::test]
async fn tool_result_follows_a_stored_response() {
    let client = client();
    let first = client
        .responses()
        .create(response(json!(PARIS)))
        .await
        .unwrap();
    let [OutputItem::FunctionCall(call)] = first.output.as_slice() else {
        panic!("{:?}", first.output)
    };
    assert_eq!(
        from_str::<Value>(&call.arguments).unwrap(),
        json!({"city": "Paris"})
    );
    let result =
        json!([{"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}]);
    let mut request = response(result);
    request.previous_response_id = Some(first.id.clone());
    let second = client.responses().create(request).await.unwrap();
    assert_eq!(
        second.output_text().as_deref(),
        Some("Tool results: 18 degrees")
    );
}

#[tokio::test]
async fn response_stream_has_the_tool_calls() {
    let stream = client()
        .responses()
        .create_stream(response(json!(PARIS)))
        .await
        .unwrap();
    let events: Vec<_> = stream.map(Result::unwrap).collect().await;
    let deltas = events.iter().filter_map(|event| match event {
        ResponseStreamEvent::ResponseFunctionCallArgumentsDelta(event) => {
            Some(event.delta.as_str())
        }
        _ => None,
    });
    assert_eq!(
        from_str::<Value>(&deltas.collect::<String>()).unwrap(),
        json!({"city": "Paris"})
    );
}

#[tokio::test]
async fn response_text_matches_the_schema() {
    let mut request = response(json!(AGED));
    let format = json!({"type": "json_schema", "name": "person", "schema": age(), "strict": true});
    request.text = Some(from_value(json!({"format": format})).unwrap());
    let answer = client().responses().create(request).await.unwrap();
    assert_eq!(
        from_str::<Value>(&answer.output_text().unwrap()).unwrap(),
        json!({"age": 36})
    );
}

#[tokio::test]
async fn response_is_stored_and_deleted() {
    let client = client();
    let made = client
        .responses()
        .create(response(json!("[[say=ok]]")))
        .await
        .unwrap();
    let kept = client.responses().retrieve(&made.id).await.unwrap();
    assert_eq!(
        (&kept.id, kept.output_text().as_deref()),
        (&made.id, Some("ok"))
    );
    assert_eq!(
        client
            .responses()
            .list_input_items(&made.id)
            .await
            .unwrap()
            .data
            .len(),
        1
    );
    assert!(client.responses().delete(&made.id).await.unwrap().deleted);
    let Err(OpenAIError::ApiError(error)) = client.responses().retrieve(&made.id).await else {
        panic!("kept")
    };
    assert!(
        format!("{error:?}").contains("response_not_found"),
        "{error:?}"
    );
}

#[tokio::test]
async fn late_failure_is_reported_by_an_event() {
    let request = response(json!("[[tokens=20 gap_ms=20 error_after=5]]"));
    let events: Vec<_> = client()
        .responses()
        .create_stream(request)
        .await
        .unwrap()
        .collect()
        .await;
    let Some(Ok(ResponseStreamEvent::ResponseFailed(last))) = events.last() else {
        panic!("{:?}", events.last())
    };
    assert_eq!(last.response.status, Status::Failed);
}
