//! What the server takes up over the run, and whether that is flat.

use crate::disk::Disk;
use crate::processes;
use crate::server::Server;
use crate::statistics;

/// A sample of the server process: memory, descriptors and threads at one time.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: f64,
    figures: [f64; FIGURES.len()],
}

/// A watched figure with its bound: the median of the last quarter may exceed that of the second by the share `part` plus `beside`.
struct Figure {
    name: &'static str,
    part: f64,
    beside: f64,
}

const fn figure(name: &'static str, part: f64, beside: f64) -> Figure {
    Figure { name, part, beside }
}

const FIGURES: [Figure; 6] = [
    figure("RSS, MB", 0.1, 4.0),
    figure("private memory, MB", 0.1, 4.0),
    figure("descriptors", 0.1, 10.0),
    figure("threads", 0.0, 4.0),
    figure("workers", 0.0, 0.0),
    // What is kept for clients grows as they ask for it.
    figure("disk, MiB", f64::INFINITY, 0.0),
];

/// All looks of a run.
#[derive(Debug, Default)]
pub(crate) struct Series(Vec<Look>);

/// One figure over the run.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) name: &'static str,
    pub(crate) second_quarter: f64,
    pub(crate) last_quarter: f64,
    pub(crate) most: f64,
    /// How far the last quarter may go, where that is bound.
    pub(crate) bound: Option<f64>,
    pub(crate) chart: String,
}

impl Course {
    pub(crate) fn is_flat(&self) -> bool {
        // Without figures, in a run that is too short, there is no number, and that is not flat.
        self.bound.is_none_or(|bound| self.last_quarter <= bound)
    }
}

impl Series {
    /// Looks at the server, while it runs, and says what is seen.
    pub(crate) fn look(&mut self, at: f64, server: &Server, disk: &Disk) -> anyhow::Result<String> {
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
        self.0.push(Look { at, figures });
        let said = figures
            .iter()
            .zip(&FIGURES)
            .map(|(value, figure)| format!("{} {value:.0}", figure.name));
        Ok(said.collect::<Vec<_>>().join(", "))
    }

    /// The figures over a run between these seconds.
    pub(crate) fn courses(&self, begun: f64, ended: f64) -> Vec<Course> {
        let course = |(index, figure): (usize, &Figure)| {
            let of = |from: f64, to: f64| -> statistics::Sample {
                let looks = self
                    .0
                    .iter()
                    .filter(|look| (from..=to).contains(&((look.at - begun) / (ended - begun))));
                looks.map(|look| look.figures[index]).collect()
            };
            let (second_quarter, last_quarter, whole) = (
                of(0.25, 0.5).p50(),
                of(0.75, 1.0).p50(),
                of(0.0, f64::INFINITY),
            );
            let bound = second_quarter * (1.0 + figure.part) + figure.beside;
            let bound = (!figure.part.is_infinite()).then_some(bound);
            let chart = self.chart(index);
            Course {
                name: figure.name,
                second_quarter,
                last_quarter,
                most: whole.max(),
                bound,
                chart,
            }
        };
        FIGURES.iter().enumerate().map(course).collect()
    }

    /// A line of at most 60 bars, the highest of each stretch, from nothing to the highest of all.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of seven"
    )]
    fn chart(&self, index: usize) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let values: Vec<f64> = self.0.iter().map(|look| look.figures[index]).collect();
        let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let stretches = values.chunks(values.len().div_ceil(60).max(1));
        let highest = stretches.map(|stretch| stretch.iter().copied().fold(0.0, f64::max));
        highest
            .map(|value| BARS[((value / most * 7.0).round() as usize).min(7)])
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
