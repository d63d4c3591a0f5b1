//! Savings: what requests cost, what they would have cost on the baseline, and why they differ.

use crate::domain::BaselineCost;
use crate::domain::Money;

use super::ReusedAnswer;
use super::codec::RecordReader;
use super::codec::RecordWriter;
use super::records::ChargeRecord;
use super::records::nanos;

/// Sums of what compared requests cost, and of what they would have cost on the baseline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SavingSums {
    /// Charged requests that are compared with the baseline.
    pub requests: u64,
    /// Answers from the response cache.
    pub cached_answers: u64,
    /// Cost of all of them on the baseline, in nano-dollars.
    pub baseline: u128,
    /// Cost that was charged, in nano-dollars.
    pub cost: u128,
    /// Saving by the prompt cache, in nano-dollars; negative if it made requests more expensive.
    pub prompt_cache: i128,
    /// Saving by the response cache, in nano-dollars: cost of the runs that it made unnecessary.
    pub response_cache: u128,
}

/// Saving by cause, in nano-dollars. The causes add up to the total, and may be negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SavingSplit {
    /// Cost on the baseline without the charged cost.
    pub total: i128,
    /// Saving by other models than the baseline model: what the other causes leave of the total.
    pub model_choice: i128,
    /// Saving by the prompt cache.
    pub prompt_cache: i128,
    /// Saving by the response cache.
    pub response_cache: i128,
}

impl SavingSums {
    /// Returns the sums of one charge; nothing if it cannot be compared.
    pub(super) fn of_charge(charged: &ChargeRecord) -> Self {
        let Some(baseline) = charged.baseline.filter(|_| !charged.is_unknown) else {
            return Self::default();
        };
        Self {
            requests: 1,
            baseline: nanos(baseline.total),
            cost: nanos(charged.money),
            prompt_cache: baseline.prompt_cache.nanos().into(),
            ..Self::default()
        }
    }

    /// Returns the sums of one answer from the response cache.
    pub(super) fn of_answer(answer: &ReusedAnswer) -> Self {
        let counted = Self {
            cached_answers: 1,
            ..Self::default()
        };
        let Some(baseline) = answer.baseline else {
            return counted;
        };
        Self {
            baseline: nanos(baseline.total),
            prompt_cache: baseline.prompt_cache.nanos().into(),
            response_cache: nanos(answer.cost),
            ..counted
        }
    }

    /// Splits the saving by its causes, in the order of the decision record: the model, then the
    /// prompt cache, then the response cache.
    pub fn split(&self) -> SavingSplit {
        let total = signed(self.baseline).saturating_sub(signed(self.cost));
        let response_cache = signed(self.response_cache);
        let caches = self.prompt_cache.saturating_add(response_cache);
        SavingSplit {
            total,
            model_choice: total.saturating_sub(caches),
            prompt_cache: self.prompt_cache,
            response_cache,
        }
    }

    /// True if nothing is counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            cached_answers: self.cached_answers.saturating_add(other.cached_answers),
            baseline: self.baseline.saturating_add(other.baseline),
            cost: self.cost.saturating_add(other.cost),
            prompt_cache: self.prompt_cache.saturating_add(other.prompt_cache),
            response_cache: self.response_cache.saturating_add(other.response_cache),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            cached_answers: self.cached_answers.saturating_sub(other.cached_answers),
            baseline: self.baseline.saturating_sub(other.baseline),
            cost: self.cost.saturating_sub(other.cost),
            prompt_cache: self.prompt_cache.saturating_sub(other.prompt_cache),
            response_cache: self.response_cache.saturating_sub(other.response_cache),
        }
    }

    pub(super) fn write(&self, writer: &mut RecordWriter) {
        writer.number(self.requests);
        writer.number(self.cached_answers);
        writer.number(self.baseline);
        writer.number(self.cost);
        writer.signed(self.prompt_cache);
        writer.number(self.response_cache);
    }

    pub(super) fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        Some(Self {
            requests: reader.number()?,
            cached_answers: reader.number()?,
            baseline: reader.number()?,
            cost: reader.number()?,
            prompt_cache: reader.signed()?,
            response_cache: reader.number()?,
        })
    }
}

/// Writes the cost of a charge on the baseline, which may be unknown.
pub(super) fn write_baseline(writer: &mut RecordWriter, baseline: Option<BaselineCost>) {
    writer.number(baseline.is_some());
    if let Some(baseline) = baseline {
        writer.number(nanos(baseline.total));
        writer.signed(baseline.prompt_cache.nanos().into());
    }
}

/// Reads the cost of a charge on the baseline, which may be unknown. The outer `None` is for damaged
/// bytes.
pub(super) fn read_baseline(reader: &mut RecordReader<'_>) -> Option<Option<BaselineCost>> {
    if !reader.flag()? {
        return Some(None);
    }
    let total = Money::from_nanos(reader.number()?);
    let prompt_cache = i64::try_from(reader.signed()?).ok()?;
    Some(Some(BaselineCost {
        total,
        prompt_cache: Money::from_nanos(prompt_cache),
    }))
}

fn signed(nanos: u128) -> i128 {
    i128::try_from(nanos).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(total: i64, prompt_cache: i64, cost: i64) -> ReusedAnswer {
        ReusedAnswer {
            project: "p".to_owned(),
            key: "a".to_owned(),
            model: "m".to_owned(),
            baseline: Some(BaselineCost {
                total: Money::from_nanos(total),
                prompt_cache: Money::from_nanos(prompt_cache),
            }),
            cost: Money::from_nanos(cost),
        }
    }

    proptest! {
        #[test]
        fn saving_causes_add_up_to_baseline_without_cost(
            requests in proptest::collection::vec((0..i64::MAX, any::<i64>(), 0..i64::MAX, any::<bool>()), 0..20),
        ) {
            let mut sums = SavingSums::default();
            for (total, prompt_cache, cost, is_cached) in requests {
                let mut one = SavingSums::of_answer(&answer(total, prompt_cache, cost));
                if !is_cached {
                    one.cost = std::mem::take(&mut one.response_cache);
                }
                sums = sums.plus(one);
            }
            let split = sums.split();
            let baseline = i128::try_from(sums.baseline).unwrap();
            let cost = i128::try_from(sums.cost).unwrap();
            prop_assert_eq!(split.total, baseline - cost);
            prop_assert_eq!(split.model_choice + split.prompt_cache + split.response_cache, split.total);
            prop_assert_eq!(sums.minus(sums), SavingSums::default());
        }
    }

    #[test]
    fn cached_answer_is_split_by_its_first_run() {
        let sums = SavingSums::of_answer(&answer(100, 20, 30));
        let split = SavingSplit {
            total: 100,
            model_choice: 50,
            prompt_cache: 20,
            response_cache: 30,
        };
        assert_eq!((sums.split(), sums.cached_answers), (split, 1));
    }
}
