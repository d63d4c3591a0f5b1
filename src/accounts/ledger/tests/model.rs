//! Property test: after any sequence of steps, the ledger agrees with a plain model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::accounts::ledger::calendar::Span;

/// One step of a test case. Indices choose among the open holds.
#[derive(Debug, Clone)]
enum Step {
    Hold {
        key: usize,
        tokens: u64,
        nanos: i64,
    },
    Settle {
        index: usize,
        tokens: u64,
        nanos: Option<i64>,
    },
    Release {
        index: usize,
    },
    Drop {
        index: usize,
    },
    Crash,
    Forth,
    Back,
    /// Moves the clock to the last half hour of the month.
    MonthEnd,
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = 0..8_usize;
    let step = prop_oneof![
        6 => (0..3_usize, 0..40_u64, -2..40_i64)
            .prop_map(|(key, tokens, nanos)| Step::Hold { key, tokens, nanos }),
        4 => (index.clone(), 0..60_u64, proptest::option::of(-5..60_i64))
            .prop_map(|(index, tokens, nanos)| Step::Settle { index, tokens, nanos }),
        1 => index.clone().prop_map(|index| Step::Release { index }),
        1 => index.prop_map(|index| Step::Drop { index }),
        1 => Just(Step::Crash),
        1 => Just(Step::Forth),
        1 => Just(Step::Back),
        1 => Just(Step::MonthEnd),
        1 => Just(Step::Sweep),
    ];
    proptest::collection::vec(step, 0..40)
}

/// Callers: three keys in two projects, with caps of every kind.
fn callers() -> [Caller; 3] {
    let money = |nanos| Cap {
        tokens: None,
        money: Some(Money::from_nanos(nanos)),
    };
    let both = Cap {
        tokens: Some(100),
        money: Some(Money::from_nanos(120)),
    };
    let budget = |daily, monthly| Budget { daily, monthly };
    let project = budget(cap(150), money(200));
    [
        caller("a", budget(both, cap(180)), project),
        caller("b", budget(Cap::default(), money(90)), project),
        Caller {
            project: "q".to_owned(),
            ..caller("c", Budget::default(), budget(money(70), cap(90)))
        },
    ]
}

/// Meters of the model: spent and held tokens, spent and held nano-dollars.
type Meters = BTreeMap<(Span, BudgetScope, String), [i128; 4]>;

/// Plain model of the ledger.
#[derive(Default)]
struct Model {
    meters: Meters,
    open: Vec<(Caller, u64, Amount)>,
    requests: u64,
    unknown: u64,
}

impl Model {
    fn spans(caller: &Caller, now: u64) -> Vec<((Span, BudgetScope, String), Cap)> {
        let own = &caller.grant.budget;
        let shared = &caller.grant.project_budget;
        let day = Span::around(BudgetWindow::Day, Day::of(now));
        let month = Span::around(BudgetWindow::Month, Day::of(now));
        vec![
            ((day, BudgetScope::Key, caller.name.clone()), own.daily),
            ((month, BudgetScope::Key, caller.name.clone()), own.monthly),
            (
                (day, BudgetScope::Project, caller.project.clone()),
                shared.daily,
            ),
            (
                (month, BudgetScope::Project, caller.project.clone()),
                shared.monthly,
            ),
        ]
    }

    fn add(&mut self, caller: &Caller, at: u64, change: [i128; 4]) {
        for (place, _) in Self::spans(caller, at) {
            let meter = self.meters.entry(place).or_default();
            meter
                .iter_mut()
                .zip(change)
                .for_each(|(figure, change)| *figure += change);
        }
    }

    fn hold(&mut self, caller: &Caller, now: u64, amount: Amount) -> bool {
        let wanted = [i128::from(amount.tokens), i128::from(amount.money.nanos())];
        let has_room = Self::spans(caller, now).into_iter().all(|(place, cap)| {
            let [spent, held, spent_nanos, held_nanos] =
                self.meters.get(&place).copied().unwrap_or_default();
            cap.tokens
                .is_none_or(|cap| spent + held + wanted[0].max(1) <= i128::from(cap))
                && cap.money.is_none_or(|cap| {
                    spent_nanos + held_nanos + wanted[1].max(1) <= i128::from(cap.nanos())
                })
        });
        if has_room {
            self.add(caller, now, [0, wanted[0], 0, wanted[1]]);
            self.open.push((caller.clone(), now, amount));
        }
        has_room
    }

    /// Closes a hold and counts its debit, if any.
    fn close(&mut self, index: usize, debit: Option<(i128, i128, bool)>) {
        let (caller, at, amount) = self.open.remove(index);
        let (tokens, nanos, is_unknown) = debit.unwrap_or_default();
        self.requests += u64::from(debit.is_some());
        self.unknown += u64::from(is_unknown);
        let change = [
            tokens,
            -i128::from(amount.tokens),
            nanos,
            -i128::from(amount.money.nanos()),
        ];
        self.add(&caller, at, change);
    }

    fn close_unknown(&mut self, index: usize) {
        let amount = self.open[index].2;
        self.close(
            index,
            Some((amount.tokens.into(), amount.money.nanos().into(), true)),
        );
    }
}

/// Ledger and model, driven by the same steps.
struct LedgerAndModel {
    test_ledger: TestLedger,
    model: Model,
    holds: Vec<BudgetHold>,
    ids: usize,
}

impl LedgerAndModel {
    async fn step(mut self, step: Step) -> Self {
        let now = self.test_ledger.now.load(Ordering::SeqCst);
        let open = |index: usize, holds: &Vec<BudgetHold>| {
            (!holds.is_empty()).then(|| index % holds.len())
        };
        match step {
            Step::Hold { key, tokens, nanos } => self.hold(&callers()[key], tokens, nanos).await,
            Step::Settle {
                index,
                tokens,
                nanos,
            } => {
                if let Some(index) = open(index, &self.holds) {
                    self.settle(index, tokens, nanos).await;
                }
            }
            Step::Release { index } => {
                if let Some(index) = open(index, &self.holds) {
                    self.holds.remove(index).release().await.unwrap();
                    self.model.close(index, None);
                }
            }
            Step::Drop { index } => {
                if let Some(index) = open(index, &self.holds) {
                    drop(self.holds.remove(index).start());
                    self.model.close_unknown(index);
                }
            }
            Step::Crash => {
                let lost = self.holds.len();
                self.holds.drain(..).for_each(BudgetHold::forget);
                (0..lost).for_each(|_| self.model.close_unknown(0));
                self.test_ledger = self.test_ledger.restart().await;
                assert_eq!(self.test_ledger.unknown, lost);
            }
            Step::Forth => self.test_ledger.pass(HOUR),
            Step::Back => self.test_ledger.now.store(now - HOUR, Ordering::SeqCst),
            Step::MonthEnd => {
                let end = Span::around(BudgetWindow::Month, Day::of(now)).ends_at();
                self.test_ledger.now.store(end - HOUR / 2, Ordering::SeqCst);
            }
            Step::Sweep => self.sweep(now).await,
        }
        self
    }

    async fn hold(&mut self, caller: &Caller, tokens: u64, nanos: i64) {
        let now = self.test_ledger.now.load(Ordering::SeqCst);
        self.ids += 1;
        let held = self
            .test_ledger
            .ledger
            .hold(caller, amount(tokens, nanos), &self.ids.to_string())
            .await;
        let is_expected = self.model.hold(caller, now, amount(tokens, nanos.max(0)));
        match held {
            Ok(hold) => self.holds.push(hold),
            Err(error) => assert!(matches!(error, Error::BudgetExceeded(_)), "{error}"),
        }
        assert_eq!(
            self.holds.len(),
            self.model.open.len(),
            "the model says {is_expected}"
        );
    }

    async fn settle(&mut self, index: usize, tokens: u64, nanos: Option<i64>) {
        let known = nanos.filter(|nanos| *nanos >= 0);
        let held = self.model.open[index].2.money.nanos();
        let charge = Charge {
            money: nanos.map(Money::from_nanos),
            ..charge(tokens, 0)
        };
        let debit = self.holds.remove(index).settle(charge).await.unwrap();
        let nanos = known.unwrap_or(held);
        assert_eq!(debit, amount(tokens, nanos));
        self.model
            .close(index, Some((tokens.into(), nanos.into(), known.is_none())));
    }

    async fn sweep(&mut self, now: u64) {
        self.test_ledger.ledger.sweep().await.unwrap();
        let first = Day::of(now).minus(92);
        let is_kept = |span: &Span| match span {
            Span::Day(_) => *span >= Span::around(BudgetWindow::Day, first),
            Span::Month(_) => *span >= Span::around(BudgetWindow::Month, first),
        };
        // A meter with an open hold is created again.
        self.model.meters.retain(|(span, ..), _| is_kept(span));
    }

    async fn assert_equal(&self) {
        self.test_ledger.assert_sound().await;
        let mut found = Meters::new();
        for (key, value) in self
            .test_ledger
            .store
            .scan(storage_keys::meters())
            .await
            .unwrap()
        {
            let BudgetMeter { spent, held, .. } = BudgetMeter::decode(&key, &value).unwrap();
            let figures = [spent.tokens, held.tokens, spent.money, held.money];
            found.insert(
                storage_keys::parse_meter(&key).unwrap(),
                figures.map(|figure| i128::try_from(figure).unwrap()),
            );
        }
        assert_eq!(found, self.model.meters);
        let query = UsageQuery {
            project: None,
            key: None,
            period: UsagePeriod::All,
            group_by: None,
        };
        let totals = self
            .test_ledger
            .ledger
            .reader()
            .usage(&query)
            .await
            .unwrap()
            .totals;
        assert_eq!(
            (totals.requests, totals.unknown),
            (self.model.requests, self.model.unknown)
        );
    }
}

async fn compare(test_ledger: TestLedger, steps: Vec<Step>) {
    let mut pair = LedgerAndModel {
        test_ledger,
        model: Model::default(),
        holds: Vec::new(),
        ids: 0,
    };
    for step in steps {
        pair = pair.step(step).await;
        pair.assert_equal().await;
    }
    pair.holds.drain(..).for_each(BudgetHold::forget);
}

/// Runs `work` to its end.
pub(super) fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ledger_agrees_with_plain_model(steps in steps()) {
        run(async { compare(TestLedger::in_memory().await, steps).await });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn ledger_on_disk_agrees_with_plain_model(steps in steps()) {
        run(async { compare(TestLedger::on_sled().await, steps).await });
    }
}
