//! The server's own share of a turn: the added latency compared with driving the same CLI directly.

use std::time::Duration;

use crate::client::Connection;
use crate::direct::DirectProcess;
use crate::real_cli::{PROMPT, RealCliBench};
use crate::report::{Report, Table};
use crate::server::chat;
use crate::statistics::Sample;

impl RealCliBench {
    /// Measures the same turn on a reused process, directly and through the server, alternating.
    pub(crate) async fn measure_own_share(
        &mut self,
        pairs: usize,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut direct = self.raw.open().await?;
        let mut connection = self.single.connect().await?;
        let mut rows = Vec::new();
        for (is_new, name) in [
            (true, "a new system prompt each"),
            (false, "the same system prompt"),
        ] {
            let [direct_ms, served_ms, added_ms] = self
                .measure_pairs(pairs, is_new, &mut direct, &mut connection)
                .await?;
            let difference = served_ms.p50() - direct_ms.p50();
            let paired = added_ms.p50();
            if is_new {
                let measured = format!("{difference:.2} ms (median of pairs {paired:.2} ms)");
                report.add_target(
                    "own share, TTFT p50",
                    "≤ 2 ms",
                    &measured,
                    difference <= 2.0,
                );
            }
            let row = [
                direct_ms.p50(),
                direct_ms.percentile(95.0),
                served_ms.p50(),
                served_ms.percentile(95.0),
                difference,
                paired,
            ];
            rows.push(
                [name.to_owned(), pairs.to_string()]
                    .into_iter()
                    .chain(row.map(|ms| format!("{ms:.2}")))
                    .collect(),
            );
        }
        report.add(Table {
            title: "The server's own share",
            note: "The same turn on a reused process of the real CLI, driven directly over its pipes and through the \
                   server, in turns; time to the first text in ms. The last column is the median of the differences \
                   pair by pair."
                .to_owned(),
            header: vec!["turn", "pairs", "direct p50", "p95", "server p50", "p95", "difference of p50", "of pairs"],
            rows,
        });
        Ok(())
    }

    async fn measure_pairs(
        &mut self,
        pairs: usize,
        is_new: bool,
        direct: &mut DirectProcess,
        connection: &mut Connection,
    ) -> anyhow::Result<[Sample; 3]> {
        // Warm-up: a process gets faster over its first turns.
        const WARM_UP: usize = 30;
        let [mut direct_ms, mut served_ms, mut added_ms] =
            [Sample::default(), Sample::default(), Sample::default()];
        for pair in 0..pairs + WARM_UP {
            let system = if is_new {
                self.new_system()
            } else {
                "Be brief.".to_owned()
            };
            let body = chat(PROMPT, &system, true);
            let for_direct = if is_new || pair == 0 { &system } else { "" };
            // The order alternates from pair to pair, so that neither way gains from being first.
            let (directly, served) = if pair % 2 == 0 {
                let directly = time_direct_turn(direct, for_direct).await?;
                (directly, self.time_served_turn(connection, &body).await?)
            } else {
                let served = self.time_served_turn(connection, &body).await?;
                (time_direct_turn(direct, for_direct).await?, served)
            };
            if pair >= WARM_UP {
                direct_ms.push_ms(directly);
                served_ms.push_ms(served);
                added_ms.push((served.as_secs_f64() - directly.as_secs_f64()) * 1e3);
            }
        }
        Ok([direct_ms, served_ms, added_ms])
    }

    async fn time_served_turn(
        &self,
        connection: &mut Connection,
        body: &str,
    ) -> anyhow::Result<Duration> {
        let first = connection.stream(body).await?.first;
        self.single.wait_until_quiet().await?;
        Ok(first)
    }
}

async fn time_direct_turn(direct: &mut DirectProcess, system: &str) -> anyhow::Result<Duration> {
    let first = direct.turn(PROMPT, system).await?.first;
    direct.reset().await?;
    Ok(first)
}
