//! P4: streams at the pace of a model, directly and through the server.

use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::sleep;

use crate::client::Timing;
use crate::direct::DirectProcess;
use crate::fake_cli::{CLIENTS, FakeCliBench};
use crate::plan::Plan;
use crate::progress;
use crate::report::{Report, Table};
use crate::server::chat;
use crate::statistics::Sample;

const FRAMES: usize = 64;
const GAP: Duration = Duration::from_millis(20);

impl FakeCliBench {
    /// P4: measures streams at the pace of a model.
    pub(crate) async fn measure_paced(
        &self,
        plan: &Plan,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut directs = Vec::new();
        for _ in 0..CLIENTS {
            directs.push(self.cli.open().await?);
        }
        let mut direct = StreamTimes::default();
        let mut served = StreamTimes::default();
        for round in 0..=plan.paced {
            progress(&format!(
                "fake CLI: paced streams, round {round} of {}",
                plan.paced
            ));
            let timings = [
                self.paced_directly(&mut directs).await?,
                self.paced_through().await?,
            ];
            // The first round is a warm-up.
            if round > 0 {
                timings[0].iter().for_each(|timing| direct.add(timing));
                timings[1].iter().for_each(|timing| served.add(timing));
            }
        }
        let added = |pick: fn(&StreamTimes) -> &Sample, percent: f64| {
            (pick(&served).percentile(percent) - pick(&direct).percentile(percent)) * 1e3
        };
        let first = added(|streams| &streams.first_ms, 99.0);
        let gap = added(|streams| &streams.gaps_ms, 99.0);
        report.add_target(
            "P4: added time to first frame, p99",
            "≤ 300 µs",
            &format!("{first:.0} µs"),
            first <= 300.0,
        );
        report.add_target(
            "P4: added gap, p99",
            "≤ 100 µs",
            &format!("{gap:.0} µs"),
            gap <= 100.0,
        );
        report.add_target(
            "P4: frames lost",
            "0",
            &served.lost.to_string(),
            served.lost == 0,
        );
        report.add(Table {
            title: "P4: streams of 64 frames, one every 20 ms",
            note: "8 at a time, begun 2.5 ms apart; directly and through the server, in turns."
                .to_owned(),
            header: vec![
                "way",
                "streams",
                "first frame p50 ms",
                "p99",
                "gap p50 ms",
                "p99",
                "frames lost",
            ],
            rows: [("`fake-claude` over its pipes", &direct), ("ours", &served)]
                .map(|(name, streams)| streams.row(name))
                .to_vec(),
        });
        Ok(())
    }

    async fn paced_directly(&self, directs: &mut [DirectProcess]) -> anyhow::Result<Vec<Timing>> {
        let prompt = paced_prompt();
        let streams = directs.iter_mut().zip(0..).map(async |(direct, index)| {
            stagger(index).await;
            let timing = direct.turn(&prompt, "").await?;
            direct.reset().await?;
            anyhow::Ok(timing)
        });
        try_join_all(streams).await
    }

    async fn paced_through(&self) -> anyhow::Result<Vec<Timing>> {
        let body = chat(&paced_prompt(), "", true);
        let streams = (0..).take(CLIENTS).map(async |index| {
            let mut connection = self.ours.connect().await?;
            stagger(index).await;
            connection.stream(&body).await
        });
        try_join_all(streams).await
    }
}

fn paced_prompt() -> String {
    format!("[[tokens={FRAMES} gap_ms={}]]", GAP.as_millis())
}

async fn stagger(index: u32) {
    sleep(GAP / 8 * index).await;
}

#[derive(Default)]
struct StreamTimes {
    first_ms: Sample,
    gaps_ms: Sample,
    lost: usize,
}

impl StreamTimes {
    fn add(&mut self, timing: &Timing) {
        self.first_ms.push_ms(timing.first);
        timing
            .gaps
            .iter()
            .for_each(|gap| self.gaps_ms.push_ms(*gap));
        self.lost += FRAMES.abs_diff(timing.texts);
    }

    fn row(&self, name: &str) -> Vec<String> {
        let figures =
            [&self.first_ms, &self.gaps_ms].map(|sample| [sample.p50(), sample.percentile(99.0)]);
        let figures = figures.concat().into_iter().map(|ms| format!("{ms:.3}"));
        let count = self.first_ms.len().to_string();
        [name.to_owned(), count]
            .into_iter()
            .chain(figures)
            .chain([self.lost.to_string()])
            .collect()
    }
}
