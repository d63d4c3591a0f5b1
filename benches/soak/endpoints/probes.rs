//! Requests of operators and dashboards: usage, health and readiness.

use reqwest::RequestBuilder;
use serde_json::Value;

use super::{Client, Endpoint, reading};
use crate::journal::RequestFailure;

impl Client {
    pub(crate) async fn usage(&self) {
        let request = async {
            let answer = reading::json(self.get("/v1/usage?period=day&group_by=key")).await?;
            expect(answer["totals"]["total_tokens"].is_u64(), &answer)
        };
        self.run_request(Endpoint::Usage, request).await;
    }

    pub(crate) async fn health(&self) {
        let request = async {
            let answer = reading::json(self.get("/health")).await?;
            expect(answer["status"] == "ok", &answer)
        };
        self.run_request(Endpoint::Health, request).await;
    }

    /// Requests `/ready`; not ready is valid if the response has a reason.
    pub(crate) async fn ready(&self) {
        self.run_request(Endpoint::Ready, readiness(self.get("/ready")))
            .await;
    }
}

async fn readiness(request: RequestBuilder) -> Result<(), RequestFailure> {
    let response = request.send().await.map_err(|error| reading::cut(&error))?;
    let is_ready = response.status().is_success();
    let body: Value = response
        .json()
        .await
        .map_err(|error| reading::cut(&error))?;
    let problems = body["problems"].as_array().map_or(0, Vec::len);
    expect(is_ready || problems > 0, &body)?;
    if is_ready {
        Ok(())
    } else {
        Err(RequestFailure::Refused("not_ready".to_owned()))
    }
}

fn expect(is_right: bool, body: &Value) -> Result<(), RequestFailure> {
    if is_right {
        Ok(())
    } else {
        Err(RequestFailure::Wrong(reading::short(body)))
    }
}
