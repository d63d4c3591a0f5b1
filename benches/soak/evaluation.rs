//! Evaluation of a run against its bounds.

use std::collections::BTreeMap;

use crate::charges::KeyCharges;
use crate::endpoints::Endpoint;
use crate::journal::{Event, Outcome, RequestFailure, Window};
use crate::report::{Report, Table};
use crate::samples::FigureCourse;
use crate::statistics::Sample;

/// Minimum share of the requests outside of faults that must be answered.
const AVAILABILITY: f64 = 0.999;
/// Maximum number of failed requests listed in the report.
const MAX_LISTED_FAILURES: usize = 20;

/// Measurements of a run.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) events: Vec<Event>,
    pub(crate) windows: Vec<Window>,
    pub(crate) courses: Vec<FigureCourse>,
    pub(crate) accounts: Vec<KeyCharges>,
    /// Problems reported by the ledger check, with the server running and stopped.
    pub(crate) ledger: Vec<String>,
    /// Other problems: orphan processes, a failed shutdown, panics in the log.
    pub(crate) remains: Vec<String>,
}

/// Request with its verdict.
struct JudgedRequest<'a> {
    event: &'a Event,
    is_outside_faults: bool,
    /// Set if answered, or refused as expected.
    is_good: bool,
    /// Set if neither answered correctly nor refused with a known error, by a running server.
    is_broken: bool,
}

impl Findings {
    /// Adds the verdicts and tables to the report; returns true if all bounds were met.
    pub(crate) fn judge(&self, report: &mut Report) -> bool {
        let judged: Vec<JudgedRequest<'_>> = self
            .events
            .iter()
            .map(|event| self.judge_event(event))
            .collect();
        let mut all_kept = true;
        let mut add_target = |what: &str, wanted: &str, measured: &str, is_kept: bool| {
            all_kept &= is_kept;
            report.add_target(what, wanted, measured, is_kept);
        };
        let broken = judged.iter().filter(|request| request.is_broken).count();
        let measured = format!("{} of {}", judged.len() - broken, judged.len());
        add_target(
            "answered correctly or refused with a known error",
            "all",
            &measured,
            broken == 0 && !judged.is_empty(),
        );
        let fault_free: Vec<_> = judged
            .iter()
            .filter(|request| request.is_outside_faults)
            .collect();
        let good = fault_free.iter().filter(|request| request.is_good).count();
        let share = ratio(good, fault_free.len());
        let measured = format!("{:.3} % ({good} of {})", share * 100.0, fault_free.len());
        add_target(
            "availability outside of faults",
            "≥ 99.9 %",
            &measured,
            share >= AVAILABILITY,
        );
        for course in self.courses.iter().filter(|course| course.bound.is_some()) {
            let wanted = format!("≤ {:.1}", course.bound.unwrap_or_default());
            let measured = format!("{:.1}", course.last_quarter);
            add_target(
                &format!("{}, last quarter", course.name),
                &wanted,
                &measured,
                course.is_flat(),
            );
        }
        let none = |problems: &[String]| {
            if problems.is_empty() {
                "none".to_owned()
            } else {
                one_line(&problems.join("; "))
            }
        };
        add_target(
            "problems reported by the ledger",
            "none",
            &none(&self.ledger),
            self.ledger.is_empty(),
        );
        let wrong = self
            .accounts
            .iter()
            .filter(|account| !account.is_right())
            .map(|account| account.key.to_owned());
        let wrong: Vec<String> = wrong.collect();
        add_target(
            "keys with wrong charges",
            "none",
            &none(&wrong),
            wrong.is_empty() && !self.accounts.is_empty(),
        );
        add_target(
            "panics, orphan processes, failed shutdown",
            "none",
            &none(&self.remains),
            self.remains.is_empty(),
        );
        report.add(endpoint_table(&judged));
        report.add(self.fault_table());
        report.add(refusal_table(&judged));
        report.add(self.resource_table());
        report.add(self.charge_table());
        let mut failures: Vec<_> = judged
            .iter()
            .filter(|request| request.is_broken || (request.is_outside_faults && !request.is_good))
            .collect();
        // Only the first ones are listed: wrong answers say more than refusals.
        failures.sort_by_key(|request| !request.is_broken);
        if !failures.is_empty() {
            report.add(failure_table(&failures));
        }
        all_kept
    }

    fn judge_event<'a>(&self, event: &'a Event) -> JudgedRequest<'a> {
        let is_outside_faults = !self
            .windows
            .iter()
            .any(|window| window.overlaps_with_recovery(event));
        let (is_good, is_broken) = match &event.outcome {
            Outcome::Answered | Outcome::Disconnected => (true, false),
            Outcome::Failed(RequestFailure::Refused(code)) => {
                (event.endpoint.expects_refusal(code), false)
            }
            // A killed server cannot send an error response.
            Outcome::Failed(RequestFailure::Cut(_)) => (
                false,
                !self
                    .windows
                    .iter()
                    .any(|window| window.is_server_gone && window.overlaps(event)),
            ),
            Outcome::Failed(RequestFailure::Wrong(_)) => (false, true),
        };
        JudgedRequest {
            event,
            is_outside_faults,
            is_good,
            is_broken,
        }
    }

    fn fault_table(&self) -> Table {
        let row = |window: &Window| {
            let touched = self.events.iter().filter(|event| window.overlaps(event));
            let bad = |event: &&Event| !self.judge_event(event).is_good;
            let all = touched.clone().count();
            let refused = touched.filter(bad).count();
            // Failures during the next fault are not attributed to this one.
            let is_late = |event: &&Event| {
                let is_next =
                    |other: &Window| other.started > window.started && other.overlaps(event);
                event.started > window.ended
                    && window.overlaps_with_recovery(event)
                    && !self.windows.iter().any(is_next)
            };
            let after = self.events.iter().filter(is_late).filter(bad);
            let back = after
                .map(|event| event.started - window.ended)
                .fold(0.0, f64::max);
            vec![
                window.fault.to_owned(),
                format!("{:.0}", window.started),
                format!("{:.1}", window.ended - window.started),
                all.to_string(),
                refused.to_string(),
                format!("{back:.1}"),
                one_line(&window.note),
            ]
        };
        Table {
            title: "Faults",
            note: format!(
                "In seconds. \"Back after\" is the start of the last failed request after the end of the fault; the \
                 server has {:.0} s to recover, and afterwards each refusal counts.",
                self.windows.first().map_or(0.0, |window| window.allowance)
            ),
            header: vec![
                "fault",
                "at",
                "lasted",
                "requests during it",
                "not answered",
                "back after",
                "",
            ],
            rows: self.windows.iter().map(row).collect(),
        }
    }

    fn resource_table(&self) -> Table {
        let row = |course: &FigureCourse| {
            let bound = course
                .bound
                .map_or_else(|| "-".to_owned(), |bound| format!("{bound:.1}"));
            let figures =
                [course.second_quarter, course.last_quarter].map(|value| format!("{value:.1}"));
            let [second, last] = figures;
            vec![
                course.name.to_owned(),
                second,
                last,
                bound,
                format!("{:.1}", course.max_value),
                format!("`{}`", course.chart),
            ]
        };
        Table {
            title: "Resource use of the server",
            note: "Medians of the second and of the last quarter of the run. Flat means: the last is at most a tenth above the \
                   second, plus 4 MB (10 descriptors); no more workers and at most 4 more threads. The bars start at zero."
                .to_owned(),
            header: vec!["figure", "second quarter", "last quarter", "bound", "maximum", "over the run"],
            rows: self.courses.iter().map(row).collect(),
        }
    }

    fn charge_table(&self) -> Table {
        let row = |account: &KeyCharges| {
            let KeyCharges {
                key,
                answered,
                charged,
                estimated,
                upstream,
                fault_free,
            } = account;
            let figures = [answered, charged, estimated, upstream, fault_free].map(u64::to_string);
            [vec![(*key).to_owned()], figures.to_vec()].concat()
        };
        Table {
            title: "Keys with budgets, in tokens",
            note: "Charges, without the estimated ones (requests that were left, or whose worker or server was killed), are at least the tokens \
                   answered and at most those called upstream. Without faults, at the end, they are exactly the answers."
                .to_owned(),
            header: vec!["key", "answered", "charged", "of it estimated", "called upstream", "without faults"],
            rows: self.accounts.iter().map(row).collect(),
        }
    }
}

fn endpoint_table(judged: &[JudgedRequest<'_>]) -> Table {
    let row = |endpoint: Endpoint| {
        let all: Vec<_> = judged
            .iter()
            .filter(|request| request.event.endpoint == endpoint)
            .collect();
        let count = |is: fn(&JudgedRequest<'_>) -> bool| {
            all.iter().filter(|request| is(request)).count().to_string()
        };
        let is_refused = |request: &JudgedRequest<'_>| {
            matches!(
                request.event.outcome,
                Outcome::Failed(RequestFailure::Refused(_))
            )
        };
        let answered = all.iter().filter(|request| {
            matches!(
                request.event.outcome,
                Outcome::Answered | Outcome::Disconnected
            )
        });
        let took: Sample = answered
            .map(|request| (request.event.ended - request.event.started) * 1e3)
            .collect();
        vec![
            endpoint.name().to_owned(),
            all.len().to_string(),
            took.len().to_string(),
            count(is_expected_refusal),
            (all.iter()
                .filter(|request| is_refused(request) && !request.is_good)
                .count())
            .to_string(),
            count(|request| {
                matches!(
                    request.event.outcome,
                    Outcome::Failed(RequestFailure::Cut(_))
                ) && !request.is_broken
            }),
            count(|request| request.is_broken),
            format!("{:.0}", took.p50()),
            format!("{:.0}", took.percentile(99.0)),
        ]
    };
    Table {
        title: "Endpoints",
        note: "Times in ms of answered requests, including those during faults. \"Cut\" means cut by the kill of the server, \"failed\" must \
               be 0."
            .to_owned(),
        header: vec!["endpoint", "requests", "answered", "refused as expected", "refused", "cut", "failed", "p50", "p99"],
        rows: Endpoint::ALL.into_iter().map(row).collect(),
    }
}

fn is_expected_refusal(request: &JudgedRequest<'_>) -> bool {
    request.is_good && matches!(request.event.outcome, Outcome::Failed(_))
}

fn refusal_table(judged: &[JudgedRequest<'_>]) -> Table {
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for request in judged {
        if let Outcome::Failed(RequestFailure::Refused(code)) = &request.event.outcome {
            let column = if request.is_good {
                0
            } else {
                1 + usize::from(request.is_outside_faults)
            };
            counts.entry(code).or_default()[column] += 1;
        }
    }
    let row = |(code, counts): (&str, [usize; 3])| {
        [
            vec![format!("`{code}`")],
            counts.iter().map(usize::to_string).collect(),
        ]
        .concat()
    };
    Table {
        title: "Refusals",
        note: String::new(),
        header: vec!["code", "as expected", "near faults", "outside of faults"],
        rows: counts.into_iter().map(row).collect(),
    }
}

fn failure_table(failures: &[&JudgedRequest<'_>]) -> Table {
    let row = |request: &&JudgedRequest<'_>| {
        let event = request.event;
        let what = match &event.outcome {
            Outcome::Failed(RequestFailure::Refused(code)) => format!("refused: {code}"),
            Outcome::Failed(RequestFailure::Cut(what)) => format!("cut: {what}"),
            Outcome::Failed(RequestFailure::Wrong(what)) => format!("wrong: {what}"),
            Outcome::Answered | Outcome::Disconnected => String::new(),
        };
        let what = one_line(&what);
        vec![
            format!("{:.1}", event.started),
            format!("{:.1}", event.ended),
            event.endpoint.name().to_owned(),
            event.key.to_owned(),
            what,
        ]
    };
    Table {
        title: "Failed requests",
        note: format!("{} in total.", failures.len()),
        header: vec!["from, s", "to, s", "endpoint", "key", "failure"],
        rows: failures.iter().take(MAX_LISTED_FAILURES).map(row).collect(),
    }
}

/// Shortens a text to a table cell.
fn one_line(text: &str) -> String {
    text.replace(['|', '\n'], " ").chars().take(300).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn ratio(some: usize, all: usize) -> f64 {
    some as f64 / all.max(1) as f64
}
