//! The server's own share of a request that another server answers: the bare axum echo, directly and
//! through the server.

use std::path::Path;

use crate::plan::Plan;
use crate::processes::Core;
use crate::progress;
use crate::report::{Report, Table};
use crate::roles::ECHO;
use crate::server::{Server, ServerSettings, chat};
use crate::statistics::Sample;

/// Model that the echo is asked for.
const MODEL: &str = "echo";

/// Measures whole answers of the echo for one client, in turns.
pub(crate) async fn measure(
    fake: &Path,
    [core, _]: [Core; 2],
    plan: &Plan,
    report: &mut Report,
) -> anyhow::Result<()> {
    const WARM_UP: usize = 50;
    progress("pass-through: added latency");
    let echo = Server::role(ECHO, core).await?;
    let setting = format!(
        "{{ echo = {{ base_url = \"http://{}/v1\", endpoints = [\"chat\"], models = {{ \"{MODEL}\" = \"input 1, output 1\" }} }} }}",
        echo.address
    );
    let ours = ServerSettings::over(fake)
        .on(core)
        .set("SWITCHBOARD_UPSTREAMS", &setting)
        .start()
        .await?;
    let body = chat("Hello", "", false).replace("\"haiku\"", &format!("\"{MODEL}\""));
    let mut direct = echo.connect().await?;
    let mut through = ours.connect().await?;
    let mut samples: [Sample; 2] = Default::default();
    for round in 0..plan.added + WARM_UP {
        let took = [direct.chat(&body).await?, through.chat(&body).await?];
        if round >= WARM_UP {
            samples
                .iter_mut()
                .zip(took)
                .for_each(|(sample, took)| sample.push_ms(took));
        }
    }
    let us = |sample: &Sample, percent: f64| sample.percentile(percent) * 1e3;
    let [past, served] = &samples;
    let added = us(served, 50.0) - us(past, 50.0);
    report.add_target(
        "pass-through to another server: added p50, one client",
        "≤ 150 µs",
        &format!("{added:.0} µs"),
        added <= 150.0,
    );
    report.add(Table {
        title: "Requests to another server",
        note: "Whole answers of a bare axum echo, asked directly and through the server, in turns. The hold and the charge \
               of each are on disk before its answer ends."
            .to_owned(),
        header: vec!["way", "requests", "p50 µs", "p99 µs"],
        rows: [("directly", past), ("through the server", served)]
            .map(|(name, sample)| {
                let figures = [50.0, 99.0].map(|percent| format!("{:.0}", us(sample, percent)));
                [name.to_owned(), sample.len().to_string()]
                    .into_iter()
                    .chain(figures)
                    .collect()
            })
            .to_vec(),
    });
    ours.end().await?;
    echo.end().await
}
