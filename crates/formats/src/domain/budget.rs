//! State of a caller's budgets.

use super::Amount;
use super::Cap;

/// Remainder of the budgets that a turn is charged to; of several budgets, the one nearest to its
/// cap counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetState {
    /// Smallest number of tokens left; `None` without a token cap.
    pub tokens_left: Option<u64>,
    /// Greatest used share of any token or money cap, in whole percent; `None` without a cap.
    pub percent_used: Option<u64>,
}

impl BudgetState {
    /// Returns the state of `budgets`, given as the amount spent and held and the cap of each.
    pub fn from_budgets(budgets: impl IntoIterator<Item = (Amount, Cap)>) -> Self {
        let mut state = Self::default();
        for (spent, cap) in budgets {
            if let Some(tokens) = cap.tokens {
                let left = tokens.saturating_sub(spent.tokens);
                state.tokens_left = Some(state.tokens_left.map_or(left, |least| least.min(left)));
                state.raise_percent_used(spent.tokens.into(), tokens.into());
            }
            if let Some(money) = cap.money {
                state.raise_percent_used(spent.money.nanos().into(), money.nanos().into());
            }
        }
        state
    }

    /// Raises `percent_used` to the used share of this cap; a cap of zero counts as used up.
    fn raise_percent_used(&mut self, spent: i128, cap: i128) {
        let percent = if cap > 0 {
            spent.max(0) * 100 / cap
        } else {
            100
        };
        let percent = u64::try_from(percent).unwrap_or(u64::MAX);
        self.percent_used = self.percent_used.max(Some(percent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Money;

    fn budget(spent: (u64, i64), cap: (Option<u64>, Option<i64>)) -> (Amount, Cap) {
        let spent = Amount {
            tokens: spent.0,
            money: Money::from_nanos(spent.1),
        };
        (
            spent,
            Cap {
                tokens: cap.0,
                money: cap.1.map(Money::from_nanos),
            },
        )
    }

    #[test]
    fn budget_state_reports_the_budget_nearest_to_its_cap() {
        let both = [
            budget((900, 5), (Some(1000), Some(10))),
            budget((900, 5), (Some(5000), Some(5))),
        ];
        for (budgets, left, percent) in [
            (&[][..], None, None),
            (&[budget((7, 7), (None, None))], None, None),
            (&both[..1], Some(100), Some(90)),
            (&both, Some(100), Some(100)),
            (&[budget((2000, 0), (Some(1000), None))], Some(0), Some(200)),
            (&[budget((0, 199), (None, Some(200)))], None, Some(99)),
            (&[budget((0, 0), (None, Some(0)))], None, Some(100)),
            (
                &[budget((u64::MAX, i64::MAX), (Some(1), Some(1)))],
                Some(0),
                Some(u64::MAX),
            ),
            (&[budget((0, -5), (None, Some(10)))], None, Some(0)),
        ] {
            let expected = BudgetState {
                tokens_left: left,
                percent_used: percent,
            };
            assert_eq!(
                BudgetState::from_budgets(budgets.iter().copied()),
                expected,
                "{budgets:?}"
            );
        }
    }
}
