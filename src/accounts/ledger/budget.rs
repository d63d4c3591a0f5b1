//! Whether a budget has room, and how much of it is used up. Pure.

use std::fmt;

use serde_json::Value;

use crate::domain::Amount;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::Grant;
use crate::domain::Money;

use super::calendar::Day;
use super::calendar::Span;
use super::records::Meter;
use super::records::Sum;

/// Whose budget it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The key's own.
    Key,
    /// That of all keys of its project together.
    Project,
}

/// The time for which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// A day in UTC.
    Day,
    /// A month in UTC.
    Month,
}

/// What is capped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// Tokens.
    Tokens,
    /// Money, in nano-dollars.
    Money,
}

/// A budget that has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// Whose.
    pub scope: Scope,
    /// For which time.
    pub window: Window,
    /// Of what.
    pub what: What,
    /// The most that may be spent: tokens or nano-dollars.
    pub cap: u64,
    /// What is spent, in the same unit; it can be above the cap.
    pub spent: u64,
    /// What is held by requests that still run, in the same unit.
    pub held: u64,
    /// What the request may take, in the same unit.
    pub wanted: u64,
    /// When the next day or month begins, in seconds of Unix time.
    pub resets_at: u64,
}

/// One of the four meters by which a request is counted, with the cap on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account<'a> {
    pub(super) scope: Scope,
    pub(super) window: Window,
    /// The name of the key or the project.
    pub(super) name: &'a str,
    pub(super) span: Span,
    cap: Cap,
}

/// How much of a cap must be spent for somebody to be told, in percent.
const THRESHOLDS: [u8; 3] = [50, 80, 100];

/// A threshold that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) what: What,
    pub(super) percent: u8,
    pub(super) cap: u64,
    pub(super) spent: u64,
}

impl<'a> Account<'a> {
    /// The four of a request that came on `day`, in an order that is always the same.
    pub(super) fn all(key: &'a str, project: &'a str, grant: &Grant, day: Day) -> [Self; 4] {
        let account = |scope, window| {
            let (name, budget) = match scope {
                Scope::Key => (key, &grant.budget),
                Scope::Project => (project, &grant.project_budget),
            };
            let Budget { daily, monthly } = *budget;
            let cap = match window {
                Window::Day => daily,
                Window::Month => monthly,
            };
            Account {
                scope,
                window,
                name,
                span: Span::around(window, day),
                cap,
            }
        };
        [
            account(Scope::Key, Window::Day),
            account(Scope::Key, Window::Month),
            account(Scope::Project, Window::Day),
            account(Scope::Project, Window::Month),
        ]
    }

    /// Why there is no room for `estimate` beside what `meter` shows.
    ///
    /// Where everything is spent or held there is room for nothing, not even for an estimate of nothing.
    pub(super) fn check(&self, meter: &Meter, estimate: Sum) -> Option<Over> {
        let over = |what: What, cap: u64| {
            let (spent, held) = (what.of(meter.spent), what.of(meter.held));
            let wanted = spent
                .saturating_add(held)
                .saturating_add(what.of(estimate).max(1));
            (wanted > u128::from(cap)).then(|| Over {
                scope: self.scope,
                window: self.window,
                what,
                cap,
                spent: clamp(spent),
                held: clamp(held),
                wanted: clamp(what.of(estimate)),
                resets_at: self.span.ends_at(),
            })
        };
        self.caps().find_map(|(what, cap)| over(what, cap))
    }

    /// What is spent and held by `meter`, and the cap on it.
    pub(super) fn used(&self, meter: &Meter) -> (Amount, Cap) {
        let used = meter.spent.plus(meter.held);
        let nanos = i64::try_from(used.money).unwrap_or(i64::MAX);
        (
            Amount {
                tokens: clamp(used.tokens),
                money: Money::from_nanos(nanos),
            },
            self.cap,
        )
    }

    /// Whether anything is capped.
    pub(super) fn is_capped(&self) -> bool {
        self.caps().next().is_some()
    }

    /// The thresholds that `meter` has reached, as bits, and those among them that nobody was told of.
    ///
    /// A threshold that is not reached any more, since the cap was raised, can be reached once more.
    pub(super) fn reached(&self, meter: &Meter) -> (u8, Vec<Reached>) {
        let (mut bits, mut new) = (0, Vec::new());
        for (what, cap) in self.caps() {
            let spent = what.of(meter.spent);
            for (index, percent) in THRESHOLDS.into_iter().enumerate() {
                let wanted = u128::from(cap) * u128::from(percent);
                if spent == 0 || spent.saturating_mul(100) < wanted {
                    continue;
                }
                let bit = 1 << (index + THRESHOLDS.len() * usize::from(what == What::Money));
                bits |= bit;
                if meter.told & bit == 0 {
                    new.push(Reached {
                        what,
                        percent,
                        cap,
                        spent: clamp(spent),
                    });
                }
            }
        }
        (bits, new)
    }

    fn caps(&self) -> impl Iterator<Item = (What, u64)> {
        let tokens = self.cap.tokens.map(|tokens| (What::Tokens, tokens));
        let money = self.cap.money.map(|money| (What::Money, nanos(money)));
        [tokens, money].into_iter().flatten()
    }
}

impl What {
    fn of(self, sum: Sum) -> u128 {
        match self {
            Self::Tokens => sum.tokens,
            Self::Money => sum.money,
        }
    }

    /// The figure with its unit, for people.
    pub(super) fn show(self, figure: u64) -> String {
        match self {
            Self::Tokens => format!("{figure} tokens"),
            Self::Money => money(figure).to_string(),
        }
    }

    /// The figure for programs.
    pub(super) fn to_json(self, figure: u64) -> Value {
        match self {
            Self::Tokens => figure.into(),
            Self::Money => money(figure).to_decimal().into(),
        }
    }
}

fn money(nanos: u64) -> Money {
    Money::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

impl Scope {
    pub(super) fn letter(self) -> u8 {
        match self {
            Self::Key => b'k',
            Self::Project => b'p',
        }
    }

    pub(super) fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'k' => Some(Self::Key),
            b'p' => Some(Self::Project),
            _ => None,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tokens => "tokens",
            Self::Money => "money",
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Key => "key",
            Self::Project => "project",
        })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Day => "daily",
            Self::Month => "monthly",
        })
    }
}

impl std::error::Error for Over {}

impl fmt::Display for Over {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self
            .cap
            .saturating_sub(self.spent)
            .saturating_sub(self.held);
        let figures = [self.wanted, left, self.cap, self.spent, self.held];
        let [wanted, left, cap, spent, held] = figures.map(|figure| self.what.show(figure));
        let (scope, window, resets) = (self.scope, self.window, Day::of(self.resets_at));
        write!(
            formatter,
            "The {window} budget of this {scope} has no room for this request, which may take {wanted}. Of {cap} {left} \
             are left: {spent} are spent, and {held} are held by requests that still run. It begins anew on {resets} at \
             00:00 UTC"
        )
    }
}

fn nanos(money: Money) -> u64 {
    u64::try_from(money.nanos()).unwrap_or(0)
}

fn clamp(figure: u128) -> u64 {
    u64::try_from(figure).unwrap_or(u64::MAX)
}
