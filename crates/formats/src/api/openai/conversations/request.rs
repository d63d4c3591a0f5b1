//! Requests that create a conversation, change its metadata, and add items to it.

use serde_json::Map;
use serde_json::Value;

use crate::api::openai::labels;
use crate::api::openai::responses;
use crate::api::openai::responses::stored_items;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::parse_request;
use crate::api::request_schema::repair_characters;

/// Maximum number of items that one request may add, as in `OpenAI`'s API.
const MAX_ITEMS: usize = 20;
/// Name of the field that holds items.
const ITEMS: &str = "items";

/// Fields of a request that creates a conversation.
pub static CREATE: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "items",
            FieldType::Array,
            "Up to 20 items, as in the `input` of a [response](#post-v1responses), as the first items of the conversation.",
        )
        .with_inner(&responses::ITEM),
        honoured(
            "metadata",
            FieldType::Object,
            "Up to 16 pairs of strings, keys up to 64 and values up to 512 characters.",
        )
        .of_texts(),
    ],
};

/// Fields of a request that changes a conversation.
pub static UPDATE: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[honoured(
        "metadata",
        FieldType::Object,
        "Replaces the stored metadata.",
    )
    .required()
    .of_texts()],
};

/// Fields of a request that adds items.
pub static ADD: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[honoured(
        "items",
        FieldType::Array,
        "Up to 20 items, as in the `input` of a [response](#post-v1responses), without references to other items.",
    )
    .required()
    .with_inner(&responses::ITEM)],
};

/// Decoded body of `POST /v1/conversations`.
#[derive(Debug)]
pub struct CreateConversation {
    /// Labels set by the client, as pairs of strings.
    pub metadata: Map<String, Value>,
    /// Items with which the conversation begins.
    pub new_items: NewItems,
}

/// Items to add, each with its type and an id.
#[derive(Debug, Default)]
pub struct NewItems {
    /// Items in the form in which they are stored.
    pub items: Vec<Value>,
    /// Fields of the request that were ignored or repaired.
    pub remarks: Remarks,
}

/// Decodes the body of `POST /v1/conversations`; an empty body counts as `{}`.
///
/// # Errors
/// Fails if the body is malformed or an item is invalid.
pub fn decode_create_conversation(
    body: &[u8],
    policy: Policy,
) -> Result<CreateConversation, InvalidRequest> {
    let body = if body.trim_ascii().is_empty() {
        b"{}"
    } else {
        body
    };
    let mut ignored = RemarkCollector::new(policy);
    let body = repair_characters(body, &mut ignored)?;
    let mut request = parse_request(&body, &CREATE, "`items`, `metadata` or nothing at all")?;
    let metadata = labels::take_metadata(&mut request)?.unwrap_or_default();
    let items = take_items(&mut request)?.unwrap_or_default();
    Ok(CreateConversation {
        metadata,
        new_items: read_new_items(items, request, ignored)?,
    })
}

/// Decodes the body of `POST /v1/conversations/{id}`: the new metadata.
///
/// # Errors
/// Fails if the body is malformed.
pub fn decode_update_conversation(
    body: &[u8],
    policy: Policy,
) -> Result<(Map<String, Value>, Remarks), InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let mut request = parse_request(body, &UPDATE, "`metadata`")?;
    let metadata =
        labels::take_metadata(&mut request)?.ok_or_else(|| request.missing_field("metadata"))?;
    request.finish(&mut ignored)?;
    Ok((metadata, ignored.into_remarks()))
}

/// Decodes the body of `POST /v1/conversations/{id}/items`.
///
/// # Errors
/// Fails if the body is malformed or an item is invalid.
pub fn decode_new_items(body: &[u8], policy: Policy) -> Result<NewItems, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let body = repair_characters(body, &mut ignored)?;
    let mut request = parse_request(&body, &ADD, "`items`")?;
    let items = take_items(&mut request)?.ok_or_else(|| request.missing_field(ITEMS))?;
    read_new_items(items, request, ignored)
}

fn take_items(request: &mut ObjectReader) -> Result<Option<Vec<Value>>, InvalidRequest> {
    let Some(Value::Array(items)) = request.take(ITEMS)? else {
        return Ok(None);
    };
    if items.len() > MAX_ITEMS {
        let words = format!(
            "expected at most {MAX_ITEMS} items, got {}. Send the rest later.",
            items.len()
        );
        return Err(request.invalid_field(ITEMS, code::VALUE, &words));
    }
    if let Some(index) = items
        .iter()
        .position(|item| stored_items::reference_id(item).is_some())
    {
        let path = format!("{ITEMS}[{index}]");
        let message = format!(
            "`{path}`: a conversation holds items and no references to others. Send the item itself."
        );
        return Err(InvalidRequest::at(path, code::VALUE, message));
    }
    Ok(Some(items))
}

/// Checks `items` and gives them their stored form; refuses or ignores the other fields of
/// `request`.
fn read_new_items(
    items: Vec<Value>,
    request: ObjectReader,
    mut ignored: RemarkCollector,
) -> Result<NewItems, InvalidRequest> {
    responses::check_items(&items, &mut ignored).map_err(with_items_path)?;
    request.finish(&mut ignored)?;
    let mut remarks = ignored.into_remarks();
    for name in &mut remarks.ignored {
        if let Some(rest) = name.strip_prefix("input[]") {
            *name = format!("{ITEMS}[]{rest}");
        }
    }
    Ok(NewItems {
        items: stored_items::with_new_ids(items),
        remarks,
    })
}

/// Rewrites the path in the error: item checks name `input`, but the client sent `items`.
fn with_items_path(error: InvalidRequest) -> InvalidRequest {
    let Some(rest) = error
        .param
        .as_deref()
        .and_then(|param| param.strip_prefix("input"))
    else {
        return error;
    };
    let param = format!("{ITEMS}{rest}");
    let message = error
        .message
        .replace(&format!("`input{rest}`"), &format!("`{param}`"));
    InvalidRequest {
        message,
        param: Some(param),
        ..error
    }
}
