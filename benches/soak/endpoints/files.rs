//! Files: upload, download and deletion.

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::{Client, Endpoint, reading};
use crate::journal::RequestFailure;

impl Client {
    /// Builds an upload of a file with this content.
    pub(super) fn upload(&self, purpose: &str, content: &str) -> RequestBuilder {
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n--b\r\nContent-Disposition: \
             form-data; name=\"file\"; filename=\"soak.txt\"\r\n\r\n{content}\r\n--b--\r\n"
        );
        let request = self.request(Method::POST, "/v1/files").body(form);
        request.header("content-type", "multipart/form-data; boundary=b")
    }

    pub(super) async fn content(&self, file: &Value) -> Result<String, RequestFailure> {
        let path = format!("/v1/files/{}/content", file.as_str().unwrap_or_default());
        let response = reading::send(self.get(&path)).await?;
        response.text().await.map_err(|error| reading::cut(&error))
    }

    pub(crate) async fn files(&self) {
        let content = self.marker().repeat(500);
        let request = async {
            let file = reading::json(self.upload("user_data", &content)).await?;
            let found = self.content(&file["id"]).await?;
            if found != content {
                return Err(RequestFailure::Wrong(format!(
                    "{} bytes came back of {}",
                    found.len(),
                    content.len()
                )));
            }
            let path = format!("/v1/files/{}", file["id"].as_str().unwrap_or_default());
            reading::json(self.delete(&path)).await
        };
        self.run_request(Endpoint::Files, request).await;
    }
}
