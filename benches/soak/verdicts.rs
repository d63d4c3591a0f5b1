//! The bounds of a run, and whether they were kept.

use std::collections::BTreeMap;

use crate::charges::Account;
use crate::doors::Door;
use crate::journal::{Event, Outcome, Trouble, Window};
use crate::report::{Report, Table};
use crate::samples::Course;
use crate::statistics::Sample;

/// Part of the requests beside faults that must be answered.
const AVAILABILITY: f64 = 0.999;
/// Lines of what was not right that the report holds.
const MOST_LINES: usize = 20;

/// The measurements of a run, which the bounds are checked against.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) events: Vec<Event>,
    pub(crate) windows: Vec<Window>,
    pub(crate) courses: Vec<Course>,
    pub(crate) accounts: Vec<Account>,
    /// The problems that the ledger found in itself, while the server ran and afterwards.
    pub(crate) ledger: Vec<String>,
    /// What else was not as it should be: processes left behind, an end with an error, a panic in the log.
    pub(crate) remains: Vec<String>,
}

/// A request with its verdict.
struct Judged<'a> {
    event: &'a Event,
    is_calm: bool,
    /// Answered, or refused as was wanted.
    is_good: bool,
    /// Neither answered rightly nor refused in words, by a server that was there.
    is_broken: bool,
}

impl Findings {
    /// Adds the verdicts and tables to the report; true if all bounds were kept.
    pub(crate) fn judge(&self, report: &mut Report) -> bool {
        let judged: Vec<Judged<'_>> = self.events.iter().map(|event| self.judged(event)).collect();
        let mut all_kept = true;
        let mut bar = |what: &str, wanted: &str, measured: &str, is_kept: bool| {
            all_kept &= is_kept;
            report.bar(what, wanted, measured, is_kept);
        };
        let broken = judged.iter().filter(|request| request.is_broken).count();
        let measured = format!("{} of {}", judged.len() - broken, judged.len());
        bar(
            "answered rightly or refused in words",
            "all",
            &measured,
            broken == 0 && !judged.is_empty(),
        );
        let calm: Vec<_> = judged.iter().filter(|request| request.is_calm).collect();
        let good = calm.iter().filter(|request| request.is_good).count();
        let share = part(good, calm.len());
        let measured = format!("{:.3} % ({good} of {})", share * 100.0, calm.len());
        bar(
            "availability beside faults",
            "≥ 99.9 %",
            &measured,
            share >= AVAILABILITY,
        );
        for course in self.courses.iter().filter(|course| course.bound.is_some()) {
            let wanted = format!("≤ {:.1}", course.bound.unwrap_or_default());
            let measured = format!("{:.1}", course.last_quarter);
            bar(
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
        bar(
            "problems of the ledger",
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
        bar(
            "keys with wrong charges",
            "none",
            &none(&wrong),
            wrong.is_empty() && !self.accounts.is_empty(),
        );
        bar(
            "panics, processes left, a bad end",
            "none",
            &none(&self.remains),
            self.remains.is_empty(),
        );
        report.add(doors(&judged));
        report.add(self.faults());
        report.add(refusals(&judged));
        report.add(self.figures());
        report.add(self.books());
        let amiss: Vec<_> = judged
            .iter()
            .filter(|request| request.is_broken || (request.is_calm && !request.is_good))
            .collect();
        if !amiss.is_empty() {
            report.add(what_was_amiss(&amiss));
        }
        all_kept
    }

    fn judged<'a>(&self, event: &'a Event) -> Judged<'a> {
        let is_calm = !self.windows.iter().any(|window| window.touches(event));
        let (is_good, is_broken) = match &event.outcome {
            Outcome::Answered | Outcome::Left => (true, false),
            Outcome::Not(Trouble::Refused(code)) => (event.door.wants(code), false),
            // A server that was killed cannot say a word.
            Outcome::Not(Trouble::Cut(_)) => (
                false,
                !self
                    .windows
                    .iter()
                    .any(|window| window.is_server_gone && window.meets(event)),
            ),
            Outcome::Not(Trouble::Wrong(_)) => (false, true),
        };
        Judged {
            event,
            is_calm,
            is_good,
            is_broken,
        }
    }

    fn faults(&self) -> Table {
        let row = |window: &Window| {
            let touched = self.events.iter().filter(|event| window.meets(event));
            let bad = |event: &&Event| !self.judged(event).is_good;
            let (all, refused) = (touched.clone().count(), touched.filter(bad).count());
            // What the next fault does is none of this one's.
            let is_late = |event: &&Event| {
                let is_next = |other: &Window| other.begun > window.begun && other.meets(event);
                event.begun > window.ended
                    && window.touches(event)
                    && !self.windows.iter().any(is_next)
            };
            let after = self.events.iter().filter(is_late).filter(bad);
            let back = after
                .map(|event| event.begun - window.ended)
                .fold(0.0, f64::max);
            vec![
                window.fault.to_owned(),
                format!("{:.0}", window.begun),
                format!("{:.1}", window.ended - window.begun),
                all.to_string(),
                refused.to_string(),
                format!("{back:.1}"),
                one_line(&window.note),
            ]
        };
        Table {
            title: "Faults",
            note: format!(
                "In seconds. \"Back\" is when the last request began that was not answered, after the fault was over; the \
                 server has {:.0} s for it, and afterwards each refusal counts.",
                self.windows.first().map_or(0.0, |window| window.allowance)
            ),
            header: vec![
                "fault",
                "at",
                "lasted",
                "requests meanwhile",
                "not answered",
                "back after",
                "",
            ],
            rows: self.windows.iter().map(row).collect(),
        }
    }

    fn figures(&self) -> Table {
        let row = |course: &Course| {
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
                format!("{:.1}", course.most),
                format!("`{}`", course.chart),
            ]
        };
        Table {
            title: "What the server takes up",
            note: "Medians of the second and of the last quarter of the run. Flat is: the last is at most a tenth above the \
                   second, and 4 MB (10 descriptors); no workers and at most 4 threads more. The bars begin at nothing."
                .to_owned(),
            header: vec!["figure", "second quarter", "last quarter", "bound", "most", "over the run"],
            rows: self.courses.iter().map(row).collect(),
        }
    }

    fn books(&self) -> Table {
        let row = |account: &Account| {
            let Account {
                key,
                answered,
                charged,
                estimated,
                upstream,
                calm,
            } = account;
            let figures = [answered, charged, estimated, upstream, calm].map(u64::to_string);
            [vec![(*key).to_owned()], figures.to_vec()].concat()
        };
        Table {
            title: "Keys with budgets, in tokens",
            note: "What was charged, without what is estimated (the requests of a killed server), is no less than what was \
                   answered and no more than upstream was asked for. In the calm at the end it is exactly the answers."
                .to_owned(),
            header: vec!["key", "answered", "charged", "of it estimated", "asked of upstream", "in the calm"],
            rows: self.accounts.iter().map(row).collect(),
        }
    }
}

fn doors(judged: &[Judged<'_>]) -> Table {
    let row = |door: Door| {
        let all: Vec<_> = judged
            .iter()
            .filter(|request| request.event.door == door)
            .collect();
        let count = |is: fn(&Judged<'_>) -> bool| {
            all.iter().filter(|request| is(request)).count().to_string()
        };
        let is_refused = |request: &Judged<'_>| {
            matches!(request.event.outcome, Outcome::Not(Trouble::Refused(_)))
        };
        let answered = all
            .iter()
            .filter(|request| matches!(request.event.outcome, Outcome::Answered | Outcome::Left));
        let took: Sample = answered
            .map(|request| (request.event.ended - request.event.begun) * 1e3)
            .collect();
        vec![
            door.name().to_owned(),
            all.len().to_string(),
            took.len().to_string(),
            count(is_refused_as_wanted),
            (all.iter()
                .filter(|request| is_refused(request) && !request.is_good)
                .count())
            .to_string(),
            count(|request| {
                matches!(request.event.outcome, Outcome::Not(Trouble::Cut(_))) && !request.is_broken
            }),
            count(|request| request.is_broken),
            format!("{:.0}", took.p50()),
            format!("{:.0}", took.percentile(99.0)),
        ]
    };
    Table {
        title: "Doors",
        note: "Times in ms, of what was answered; faults are in them. \"Cut\" is by the kill of the server, \"failed\" is what \
               must not be."
            .to_owned(),
        header: vec!["door", "requests", "answered", "refused as wanted", "refused", "cut", "failed", "p50", "p99"],
        rows: Door::ALL.into_iter().map(row).collect(),
    }
}

fn is_refused_as_wanted(request: &Judged<'_>) -> bool {
    request.is_good && matches!(request.event.outcome, Outcome::Not(_))
}

fn refusals(judged: &[Judged<'_>]) -> Table {
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for request in judged {
        if let Outcome::Not(Trouble::Refused(code)) = &request.event.outcome {
            let place = if request.is_good {
                0
            } else {
                1 + usize::from(request.is_calm)
            };
            counts.entry(code).or_default()[place] += 1;
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
        header: vec!["code", "as wanted", "near faults", "beside faults"],
        rows: counts.into_iter().map(row).collect(),
    }
}

fn what_was_amiss(amiss: &[&Judged<'_>]) -> Table {
    let row = |request: &&Judged<'_>| {
        let event = request.event;
        let what = match &event.outcome {
            Outcome::Not(Trouble::Refused(code)) => format!("refused: {code}"),
            Outcome::Not(Trouble::Cut(what)) => format!("cut: {what}"),
            Outcome::Not(Trouble::Wrong(what)) => format!("wrong: {what}"),
            Outcome::Answered | Outcome::Left => String::new(),
        };
        let what = one_line(&what);
        vec![
            format!("{:.1}", event.begun),
            format!("{:.1}", event.ended),
            event.door.name().to_owned(),
            event.key.to_owned(),
            what,
        ]
    };
    Table {
        title: "What was not right",
        note: format!("{} in all.", amiss.len()),
        header: vec!["from, s", "to, s", "door", "key", "what"],
        rows: amiss.iter().take(MOST_LINES).map(row).collect(),
    }
}

/// The beginning of a text, as it can stand in a table.
fn one_line(text: &str) -> String {
    text.replace(['|', '\n'], " ").chars().take(300).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn part(some: usize, all: usize) -> f64 {
    some as f64 / all.max(1) as f64
}
