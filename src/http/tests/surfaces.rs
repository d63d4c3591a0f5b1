//! APIs that turns came by, as their callers name them.

use std::sync::Mutex;

use super::*;
use crate::domain::Surface;

/// Surfaces of the turns that have run. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct SeenSurfaces(Arc<Mutex<Vec<Surface>>>);

impl SeenSurfaces {
    /// Returns turns that greet, and are noted here.
    pub(crate) fn turns(&self) -> ScriptedTurns {
        let seen = self.clone();
        ScriptedTurns::new(move |caller, _| {
            seen.0.lock().unwrap().push(caller.origin.surface);
            Ok(play(greeting_steps()))
        })
    }

    /// Returns the surfaces since the last call.
    pub(crate) fn take(&self) -> Vec<Surface> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn caller_of_a_turn_names_the_api_that_it_came_by() {
    let seen = SeenSurfaces::default();
    let router = router(state(seen.turns()));
    let messages = json!([{"role": "user", "content": "Hi"}]);
    for (path, fields, surface) in [
        (
            "/v1/chat/completions",
            json!({"model": "sonnet", "messages": messages}),
            Surface::Chat,
        ),
        (
            "/v1/completions",
            json!({"model": "sonnet", "prompt": "Hi"}),
            Surface::Completions,
        ),
        (
            "/v1/responses",
            json!({"model": "sonnet", "input": "Hi"}),
            Surface::Responses,
        ),
        (
            "/v1/messages",
            json!({"model": "sonnet", "max_tokens": 9, "messages": messages}),
            Surface::Messages,
        ),
        (
            "/v1/batch",
            json!({"requests": [{"model": "sonnet", "prompt": "Hi"}]}),
            Surface::Batch,
        ),
    ] {
        let asked = request("POST", path, &[], fields.to_string());
        let response = send(router.clone(), asked).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        body(response).await;
        assert_eq!(seen.take(), [surface], "{path}");
    }
}
