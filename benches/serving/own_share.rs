//! The server's own share of a turn: what it takes longer than the same CLI driven directly.

use std::time::Duration;

use crate::client::Connection;
use crate::direct::Direct;
use crate::real_cli::{PROMPT, Stage};
use crate::report::{Report, Table};
use crate::server::chat;
use crate::statistics::Sample;

impl Stage {
    /// The same turn on a reused process, past the server and through it, in turns.
    pub(crate) async fn own_share(
        &mut self,
        pairs: usize,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut direct = self.raw.open().await?;
        let mut connection = self.lone.connect().await?;
        let mut rows = Vec::new();
        for (is_new, name) in [
            (true, "a new system prompt each"),
            (false, "the same system prompt"),
        ] {
            let [past, through, added] = self
                .pairs(pairs, is_new, &mut direct, &mut connection)
                .await?;
            let (difference, paired) = (through.p50() - past.p50(), added.p50());
            if is_new {
                let measured = format!("{difference:.2} ms (median of pairs {paired:.2} ms)");
                report.bar(
                    "own share, TTFT p50",
                    "≤ 2 ms",
                    &measured,
                    difference <= 2.0,
                );
            }
            let row = [
                past.p50(),
                past.percentile(95.0),
                through.p50(),
                through.percentile(95.0),
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

    async fn pairs(
        &mut self,
        pairs: usize,
        is_new: bool,
        direct: &mut Direct,
        connection: &mut Connection,
    ) -> anyhow::Result<[Sample; 3]> {
        // A process gets faster over its first turns.
        const WARM_UP: usize = 30;
        let [mut past, mut through, mut added] =
            [Sample::default(), Sample::default(), Sample::default()];
        for pair in 0..pairs + WARM_UP {
            let system = if is_new {
                self.new_system()
            } else {
                "Be brief.".to_owned()
            };
            let body = chat(PROMPT, &system, true);
            let for_direct = if is_new || pair == 0 { &system } else { "" };
            // Who is first changes from pair to pair, so that being first is no advantage.
            let (directly, served) = if pair % 2 == 0 {
                let directly = past_the_server(direct, for_direct).await?;
                (directly, self.through_the_server(connection, &body).await?)
            } else {
                let served = self.through_the_server(connection, &body).await?;
                (past_the_server(direct, for_direct).await?, served)
            };
            if pair >= WARM_UP {
                past.push_ms(directly);
                through.push_ms(served);
                added.push((served.as_secs_f64() - directly.as_secs_f64()) * 1e3);
            }
        }
        Ok([past, through, added])
    }

    async fn through_the_server(
        &self,
        connection: &mut Connection,
        body: &str,
    ) -> anyhow::Result<Duration> {
        let first = connection.stream(body).await?.first;
        self.lone.until_quiet().await?;
        Ok(first)
    }
}

async fn past_the_server(direct: &mut Direct, system: &str) -> anyhow::Result<Duration> {
    let first = direct.turn(PROMPT, system).await?.first;
    direct.reset().await?;
    Ok(first)
}
