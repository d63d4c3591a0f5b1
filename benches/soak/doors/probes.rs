//! What operators and dashboards ask.

use reqwest::RequestBuilder;
use serde_json::Value;

use super::{Client, Door, reading};
use crate::journal::Trouble;

impl Client {
    pub(crate) async fn usage(&self) {
        let asked = async {
            let answer = reading::json(self.get("/v1/usage?period=day&group_by=key")).await?;
            expect(answer["totals"]["total_tokens"].is_u64(), &answer)
        };
        self.watch(Door::Usage, asked).await;
    }

    pub(crate) async fn health(&self) {
        let asked = async {
            let answer = reading::json(self.get("/health")).await?;
            expect(answer["status"] == "ok", &answer)
        };
        self.watch(Door::Health, asked).await;
    }

    /// Not ready is an answer too, if it says why.
    pub(crate) async fn ready(&self) {
        self.watch(Door::Ready, readiness(self.get("/ready"))).await;
    }
}

async fn readiness(request: RequestBuilder) -> Result<(), Trouble> {
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
        Err(Trouble::Refused("not_ready".to_owned()))
    }
}

fn expect(is_right: bool, body: &Value) -> Result<(), Trouble> {
    if is_right {
        Ok(())
    } else {
        Err(Trouble::Wrong(reading::short(body)))
    }
}
