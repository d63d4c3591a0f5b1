//! Resource use of the server over the run, and the check that it stays flat.

use crate::disk::Disk;
use crate::processes;
use crate::server::Server;
use crate::statistics;

/// Resource use of the server process at one time.
#[derive(Debug, Clone, Copy)]
struct Snapshot {
    at: f64,
    figures: [f64; FIGURES.len()],
}

/// Figure with its bound.
///
/// The median of the last quarter of a run may exceed that of the second by the factor `share` plus
/// `constant`.
struct Figure {
    name: &'static str,
    share: f64,
    constant: f64,
}

const fn figure(name: &'static str, share: f64, constant: f64) -> Figure {
    Figure {
        name,
        share,
        constant,
    }
}

const FIGURES: [Figure; 6] = [
    figure("RSS, MB", 0.1, 4.0),
    figure("private memory, MB", 0.1, 4.0),
    figure("descriptors", 0.1, 10.0),
    figure("threads", 0.0, 4.0),
    figure("workers", 0.0, 0.0),
    // Stored records of clients grow without bound.
    figure("disk, MiB", f64::INFINITY, 0.0),
];

/// Snapshots of a run.
#[derive(Debug, Default)]
pub(crate) struct SnapshotSeries(Vec<Snapshot>);

/// Course of one figure over the run.
#[derive(Debug)]
pub(crate) struct FigureCourse {
    pub(crate) name: &'static str,
    pub(crate) second_quarter: f64,
    pub(crate) last_quarter: f64,
    pub(crate) max_value: f64,
    /// Bound of the last quarter, if the figure has one.
    pub(crate) bound: Option<f64>,
    pub(crate) chart: String,
}

impl FigureCourse {
    pub(crate) fn is_flat(&self) -> bool {
        // Without snapshots, in too short a run, the median is NaN, which counts as not flat.
        self.bound.is_none_or(|bound| self.last_quarter <= bound)
    }
}

impl SnapshotSeries {
    /// Takes a snapshot of the running server and returns it as text.
    pub(crate) fn snapshot(
        &mut self,
        at: f64,
        server: &Server,
        disk: &Disk,
    ) -> anyhow::Result<String> {
        let Some(id) = server.id() else {
            return Ok("no server".to_owned());
        };
        let memory = processes::memory(id)?;
        let count = |folder: &str| -> anyhow::Result<f64> {
            Ok(as_f64(
                std::fs::read_dir(format!("/proc/{id}/{folder}"))?.count(),
            ))
        };
        let disk = as_f64(usize::try_from(disk.used_mib()?)?);
        let workers = as_f64(server.workers().len());
        let figures = [
            memory.rss / 1e6,
            memory.anonymous / 1e6,
            count("fd")?,
            count("task")?,
            workers,
            disk,
        ];
        self.0.push(Snapshot { at, figures });
        let parts = figures
            .iter()
            .zip(&FIGURES)
            .map(|(value, figure)| format!("{} {value:.0}", figure.name));
        Ok(parts.collect::<Vec<_>>().join(", "))
    }

    /// Returns the courses of all figures between these seconds.
    pub(crate) fn courses(&self, started: f64, ended: f64) -> Vec<FigureCourse> {
        let course = |(index, figure): (usize, &Figure)| {
            let of = |from: f64, to: f64| -> statistics::Sample {
                let snapshots = self.0.iter().filter(|snapshot| {
                    (from..=to).contains(&((snapshot.at - started) / (ended - started)))
                });
                snapshots.map(|snapshot| snapshot.figures[index]).collect()
            };
            let second_quarter = of(0.25, 0.5).p50();
            let last_quarter = of(0.75, 1.0).p50();
            let whole = of(0.0, f64::INFINITY);
            let bound = second_quarter * (1.0 + figure.share) + figure.constant;
            let bound = (!figure.share.is_infinite()).then_some(bound);
            let chart = self.chart(index);
            FigureCourse {
                name: figure.name,
                second_quarter,
                last_quarter,
                max_value: whole.max(),
                bound,
                chart,
            }
        };
        FIGURES.iter().enumerate().map(course).collect()
    }

    /// Draws a chart of at most 60 bars, each the maximum of its interval, scaled from zero.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a value from 0 to 7"
    )]
    fn chart(&self, index: usize) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let values: Vec<f64> = self
            .0
            .iter()
            .map(|snapshot| snapshot.figures[index])
            .collect();
        let max_value = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let stretches = values.chunks(values.len().div_ceil(60).max(1));
        let highest = stretches.map(|stretch| stretch.iter().copied().fold(0.0, f64::max));
        highest
            .map(|value| BARS[((value / max_value * 7.0).round() as usize).min(7)])
            .collect()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of descriptors and the like"
)]
fn as_f64(count: usize) -> f64 {
    count as f64
}
