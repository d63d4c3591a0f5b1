//! Pure checks of budgets: room for an estimate, and reached thresholds.

use std::fmt;

use serde_json::Value;

use crate::domain::Amount;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::Grant;
use crate::domain::Money;

use super::calendar::Day;
use super::calendar::Span;
use super::records::AmountSum;
use super::records::BudgetMeter;

/// Owner of a budget: a key, a project or an end user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BudgetScope {
    /// Budget of the key itself.
    Key,
    /// Budget of all keys of the project together.
    Project,
    /// Budget of one end user of the key.
    EndUser,
}

/// Time window of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BudgetWindow {
    /// Calendar day in UTC.
    Day,
    /// Calendar month in UTC.
    Month,
}

/// Unit of a budget: tokens or money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BudgetUnit {
    /// Tokens of prompts and answers.
    Tokens,
    /// Money, in nano-dollars.
    Money,
}

/// Error: a budget has no room for a request. `Display` gives a sentence for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetExceeded {
    /// Owner of the exceeded budget.
    pub scope: BudgetScope,
    /// Time window of the exceeded budget.
    pub window: BudgetWindow,
    /// Unit of the amounts below.
    pub unit: BudgetUnit,
    /// Cap of the budget, in tokens or nano-dollars.
    pub cap: u64,
    /// Amount spent, in the same unit; can exceed the cap.
    pub spent: u64,
    /// Amount held by running requests, in the same unit.
    pub held: u64,
    /// Estimated amount of the refused request, in the same unit.
    pub wanted: u64,
    /// Time of the reset, in seconds of Unix time: start of the next day or month.
    pub resets_at: u64,
}

/// Key or project whose budget is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetOwner {
    /// Kind of the owner.
    pub scope: BudgetScope,
    /// Id of the key or the project.
    pub id: String,
    /// Budget of the owner, with its caps.
    pub budget: Budget,
}

/// Meter that counts a request, with its cap: day or month, of key, project or end user.
#[derive(Debug, Clone, Copy)]
pub(super) struct BudgetAccount<'a> {
    pub(super) scope: BudgetScope,
    pub(super) window: BudgetWindow,
    pub(super) name: &'a str,
    pub(super) span: Span,
    cap: Cap,
}

/// Percentages of a cap at which an alert is raised.
const THRESHOLDS: [u8; 3] = [50, 80, 100];

/// Alert threshold that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReachedThreshold {
    pub(super) unit: BudgetUnit,
    pub(super) percent: u8,
    pub(super) cap: u64,
    pub(super) spent: u64,
}

impl<'a> BudgetAccount<'a> {
    /// The meters of a request of `day`, always in the same order: two for each owner. `end_user` is
    /// the account of an end user.
    pub(super) fn all(
        key: &'a str,
        project: &'a str,
        end_user: Option<&'a str>,
        grant: &Grant,
        day: Day,
    ) -> Vec<Self> {
        let of_key = Self::of_owner(BudgetScope::Key, key, grant.budget, day);
        let of_project = Self::of_owner(BudgetScope::Project, project, grant.project_budget, day);
        let of_end_user = end_user.map(|account| {
            // Names of keys hold no slash.
            let (_, id) = account.split_once('/').unwrap_or_default();
            let budget = grant.end_users.budget_of(key, id);
            Self::of_owner(BudgetScope::EndUser, account, budget, day)
        });
        let owners = [Some(of_key), Some(of_project), of_end_user];
        owners.into_iter().flatten().flatten().collect()
    }

    /// Returns the meters of the owner `name` for `day` and for the month of `day`.
    pub(super) fn of_owner(
        scope: BudgetScope,
        name: &'a str,
        budget: Budget,
        day: Day,
    ) -> [Self; 2] {
        let account = |window, cap| BudgetAccount {
            scope,
            window,
            name,
            span: Span::around(window, day),
            cap,
        };
        [
            account(BudgetWindow::Day, budget.daily),
            account(BudgetWindow::Month, budget.monthly),
        ]
    }

    /// Checks if `estimate` fits beside what `meter` has spent and held; returns the exceeded
    /// budget if not.
    ///
    /// An estimate of zero counts as one unit, so a used-up budget refuses it as well.
    pub(super) fn check(&self, meter: &BudgetMeter, estimate: AmountSum) -> Option<BudgetExceeded> {
        let over = |what: BudgetUnit, cap: u64| {
            let spent = what.of(meter.spent);
            let held = what.of(meter.held);
            let wanted = spent
                .saturating_add(held)
                // Zero counts as one: nothing fits into a used-up budget.
                .saturating_add(what.of(estimate).max(1));
            (wanted > u128::from(cap)).then(|| BudgetExceeded {
                scope: self.scope,
                window: self.window,
                unit: what,
                cap,
                spent: clamp(spent),
                held: clamp(held),
                wanted: clamp(what.of(estimate)),
                resets_at: self.span.ends_at(),
            })
        };
        self.caps().find_map(|(what, cap)| over(what, cap))
    }

    /// Sum of what `meter` has spent and held, and its cap.
    pub(super) fn used(&self, meter: &BudgetMeter) -> (Amount, Cap) {
        let used = meter.spent.plus(meter.held);
        (used.clamped(), self.cap)
    }

    /// True if tokens or money are capped.
    pub(super) fn is_capped(&self) -> bool {
        self.caps().next().is_some()
    }

    /// Thresholds reached by `meter`, as bits, and those of them that have not been alerted yet.
    ///
    /// A threshold that is no longer reached, because the cap was raised, can be alerted again.
    pub(super) fn reached_thresholds(&self, meter: &BudgetMeter) -> (u8, Vec<ReachedThreshold>) {
        let mut bits = 0;
        let mut new = Vec::new();
        for (what, cap) in self.caps() {
            let spent = what.of(meter.spent);
            for (index, percent) in THRESHOLDS.into_iter().enumerate() {
                let wanted = u128::from(cap) * u128::from(percent);
                if spent == 0 || spent.saturating_mul(100) < wanted {
                    continue;
                }
                let bit = 1 << (index + THRESHOLDS.len() * usize::from(what == BudgetUnit::Money));
                bits |= bit;
                if meter.alerted & bit == 0 {
                    new.push(ReachedThreshold {
                        unit: what,
                        percent,
                        cap,
                        spent: clamp(spent),
                    });
                }
            }
        }
        (bits, new)
    }

    fn caps(&self) -> impl Iterator<Item = (BudgetUnit, u64)> {
        let tokens = self.cap.tokens.map(|tokens| (BudgetUnit::Tokens, tokens));
        let money = self
            .cap
            .money
            .map(|money| (BudgetUnit::Money, nanos(money)));
        [tokens, money].into_iter().flatten()
    }
}

impl BudgetUnit {
    fn of(self, sum: AmountSum) -> u128 {
        match self {
            Self::Tokens => sum.tokens,
            Self::Money => sum.money,
        }
    }

    /// Formats an amount with its unit.
    pub(super) fn show(self, figure: u64) -> String {
        match self {
            Self::Tokens => format!("{figure} tokens"),
            Self::Money => money(figure).to_string(),
        }
    }

    /// Converts an amount to JSON: tokens to a number, money to a decimal string in dollars.
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

impl BudgetScope {
    pub(super) fn tag(self) -> u8 {
        match self {
            Self::Key => b'k',
            Self::Project => b'p',
            Self::EndUser => b'e',
        }
    }

    pub(super) fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            b'k' => Some(Self::Key),
            b'p' => Some(Self::Project),
            b'e' => Some(Self::EndUser),
            _ => None,
        }
    }
}

impl fmt::Display for BudgetUnit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tokens => "tokens",
            Self::Money => "money",
        })
    }
}

impl fmt::Display for BudgetScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Key => "key",
            Self::Project => "project",
            Self::EndUser => "end_user",
        })
    }
}

impl fmt::Display for BudgetWindow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Day => "daily",
            Self::Month => "monthly",
        })
    }
}

impl std::error::Error for BudgetExceeded {}

impl fmt::Display for BudgetExceeded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self
            .cap
            .saturating_sub(self.spent)
            .saturating_sub(self.held);
        let figures = [self.wanted, left, self.cap, self.spent, self.held];
        let [wanted, left, cap, spent, held] = figures.map(|figure| self.unit.show(figure));
        let scope = match self.scope {
            BudgetScope::Key => "key",
            BudgetScope::Project => "project",
            BudgetScope::EndUser => "end user",
        };
        let window = self.window;
        let resets = Day::of(self.resets_at);
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
