//! Instructions for clients that users configure by hand, as text and code.

use serde_json::json;

use super::client_edits::quoted;
use super::connection::ClientConnection;
use super::connection::NO_KEY;
use crate::config::CLIENT_KEY;

pub(super) fn explain_open_webui(connection: &ClientConnection) -> String {
    format!(
        "{}Start Open WebUI with the server as its OpenAI API:\n\
         \x20 docker run --network host \\\n\
         \x20   -e OPENAI_API_BASE_URL={} \\\n\
         \x20   -e OPENAI_API_KEY={} \\\n\
         \x20   -e PORT=3000 \\\n\
         \x20   -v open-webui:/app/backend/data \\\n\
         \x20   ghcr.io/open-webui/open-webui:main\n\
         It then runs on http://localhost:3000.\n",
        connection.export_key(),
        connection.api_url(),
        connection.shell_key()
    )
}

pub(super) fn explain_langchain(connection: &ClientConnection) -> String {
    format!(
        "{}Then, in Python:\n\
         \x20 import os\n\
         \x20 from langchain_openai import ChatOpenAI\n\
         \x20 model = ChatOpenAI(model={}, base_url={}, api_key={})\n",
        connection.export_key(),
        quoted(connection.model()),
        quoted(&connection.api_url()),
        python_key(connection)
    )
}

pub(super) fn explain_cursor(connection: &ClientConnection) -> String {
    let key = match connection.endpoint.key {
        Some(_) => "the key",
        None => "any text",
    };
    format!(
        "In Cursor, open Settings, Models, API Keys:\n\
         \x20 1. OpenAI API Key: {key}\n\
         \x20 2. Override OpenAI Base URL: {}\n\
         \x20 3. Add the model {} to the list of models.\n\
         Cursor's own servers call the URL, so they have to reach it: one of this machine\n\
         alone does not work.\n",
        connection.api_url(),
        connection.model()
    )
}

pub(super) fn explain_zed(connection: &ClientConnection) -> String {
    let settings = json!({"language_models": {"openai_compatible": {"switchboard": {
        "api_url": connection.api_url(),
        "available_models": [{"name": connection.model(), "max_tokens": 200_000}],
    }}}});
    format!(
        "Add this to Zed's settings.json (command `zed: open settings file`):\n{settings:#}\n\
         Zed takes the key from its provider settings, or from {CLIENT_KEY}; it wants\n\
         some text there even where the server has none.\n"
    )
}

pub(super) fn explain_openai_python(connection: &ClientConnection) -> String {
    format!(
        "{}Then, in Python:\n\
         \x20 import os\n\
         \x20 from openai import OpenAI\n\
         \x20 client = OpenAI(base_url={}, api_key={})\n\
         \x20 answer = client.chat.completions.create(\n\
         \x20     model={}, messages=[{{\"role\": \"user\", \"content\": \"Say hello.\"}}]\n\
         \x20 )\n\
         \x20 print(answer.choices[0].message.content)\n",
        connection.export_key(),
        quoted(&connection.api_url()),
        python_key(connection),
        quoted(connection.model())
    )
}

pub(super) fn explain_openai_node(connection: &ClientConnection) -> String {
    let key = match connection.endpoint.key {
        Some(_) => format!("process.env.{CLIENT_KEY}"),
        None => quoted(NO_KEY),
    };
    format!(
        "{}Then, in JavaScript:\n\
         \x20 import OpenAI from \"openai\";\n\
         \x20 const client = new OpenAI({{ baseURL: {}, apiKey: {key} }});\n\
         \x20 const answer = await client.chat.completions.create({{\n\
         \x20   model: {}, messages: [{{ role: \"user\", content: \"Say hello.\" }}],\n\
         \x20 }});\n\
         \x20 console.log(answer.choices[0].message.content);\n",
        connection.export_key(),
        quoted(&connection.api_url()),
        quoted(connection.model())
    )
}

fn python_key(connection: &ClientConnection) -> String {
    match connection.endpoint.key {
        Some(_) => format!("os.environ[\"{CLIENT_KEY}\"]"),
        None => quoted(NO_KEY),
    }
}
