//! Property test: whatever servers on one Redis do, and whichever of them are killed, each hold is
//! charged once or released, and no budget is overspent.

use std::collections::BTreeMap;

use futures::future::join_all;
use proptest::prelude::*;

use super::model::run;
use super::servers::end_lease;
use super::servers::server;
use super::*;

/// Names of the servers, of which a case has one to all.
const NODES: [&str; 4] = ["a", "b", "c", "d"];
/// Names of the keys, all of one project.
const KEYS: [&str; 3] = ["k", "l", "m"];
/// Daily budget of each key, in tokens.
const KEY_BUDGET: u64 = 120;
/// Daily budget of the project, in tokens.
const PROJECT_BUDGET: u64 = 250;

/// One step of a case. Numbers choose among the servers, and among the open holds.
#[derive(Debug, Clone)]
enum NodeStep {
    /// Requests at once, each with its server, its key and its tokens.
    Hold(Vec<(usize, usize, u64)>),
    Settle {
        index: usize,
        tokens: u64,
    },
    Release {
        index: usize,
    },
    Drop {
        index: usize,
    },
    /// Kills a server, which starts again at once, or whose lease ends.
    Kill {
        node: usize,
        restarts: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<NodeStep>> {
    let index = 0..8_usize;
    let node = 0..NODES.len();
    let request = (node.clone(), 0..KEYS.len(), 0..50_u64);
    let step = prop_oneof![
        5 => proptest::collection::vec(request, 1..8).prop_map(NodeStep::Hold),
        4 => (index.clone(), 0..60_u64).prop_map(|(index, tokens)| NodeStep::Settle { index, tokens }),
        1 => index.clone().prop_map(|index| NodeStep::Release { index }),
        1 => index.prop_map(|index| NodeStep::Drop { index }),
        2 => (node, any::<bool>()).prop_map(|(node, restarts)| NodeStep::Kill { node, restarts }),
    ];
    proptest::collection::vec(step, 0..30)
}

fn caller_of(key: usize) -> Caller {
    let daily = |tokens| Budget {
        daily: cap(tokens),
        ..Budget::default()
    };
    caller(KEYS[key], daily(KEY_BUDGET), daily(PROJECT_BUDGET))
}

/// Open hold, with its server and its key.
struct OpenRun {
    node: usize,
    key: usize,
    hold: BudgetHold,
}

/// Tokens of the keys by the model.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct KeyTokens {
    /// Spent and held.
    used: u64,
    /// Spent above what was held for it.
    excess: u64,
}

/// Servers on one Redis, and what they have to have charged.
struct Nodes {
    redis: RedisServer,
    /// `None` for a killed one.
    servers: Vec<Option<OpenedLedger>>,
    open: Vec<OpenRun>,
    /// Tokens of each charge, by its id.
    charged: BTreeMap<String, u64>,
    tokens: [KeyTokens; KEYS.len()],
    ids: usize,
}

impl Nodes {
    async fn start(count: usize) -> Self {
        let redis = RedisServer::start_with(&[]);
        let mut servers = Vec::new();
        for node in &NODES[..count] {
            servers.push(Some(server(&redis, node).await));
        }
        Self {
            redis,
            servers,
            open: Vec::new(),
            charged: BTreeMap::new(),
            tokens: Default::default(),
            ids: 0,
        }
    }

    async fn step(&mut self, step: NodeStep) {
        match step {
            NodeStep::Hold(requests) => self.hold(requests).await,
            NodeStep::Settle { index, tokens } => {
                if let Some(run) = self.take(index) {
                    self.settle(run, tokens).await;
                }
            }
            NodeStep::Release { index } => {
                if let Some(run) = self.take(index) {
                    self.tokens[run.key].used -= run.hold.amount().tokens;
                    run.hold.release().await.unwrap();
                }
            }
            NodeStep::Drop { index } => {
                if let Some(run) = self.take(index) {
                    let node = run.node;
                    self.charge_as_held(&run);
                    drop(run);
                    // The charge is in the queue of the server; this waits for it.
                    let server = self.servers[node].as_ref().unwrap();
                    server.ledger.renew_lease(false).await;
                }
            }
            NodeStep::Kill { node, restarts } => {
                self.kill(node % self.servers.len(), restarts).await;
            }
        }
    }

    /// Takes one of the open holds, if there are any.
    fn take(&mut self, index: usize) -> Option<OpenRun> {
        let count = self.open.len();
        (count > 0).then(|| self.open.swap_remove(index % count))
    }

    fn charge_as_held(&mut self, run: &OpenRun) {
        let tokens = run.hold.amount().tokens;
        self.charged.insert(run.hold.id().to_owned(), tokens);
    }

    async fn hold(&mut self, requests: Vec<(usize, usize, u64)>) {
        let mut asked = Vec::new();
        for (node, key, tokens) in requests {
            let node = node % self.servers.len();
            self.start_if_killed(node).await;
            self.ids += 1;
            let ledger = &self.servers[node].as_ref().unwrap().ledger;
            // The request is in the queue of its server before the next one is.
            let held = ledger.hold(&caller_of(key), amount(tokens, 0), &self.ids.to_string());
            asked.push(async move { (node, key, tokens, held.await) });
        }
        let mut refused = Vec::new();
        for (node, key, tokens, held) in join_all(asked).await {
            match held {
                Ok(hold) => {
                    let hold = hold.start();
                    self.tokens[key].used += tokens;
                    self.open.push(OpenRun { node, key, hold });
                }
                Err(Error::BudgetExceeded(_)) => refused.push((key, tokens)),
                Err(error) => panic!("{error}"),
            }
        }
        for (key, tokens) in refused {
            let wanted = tokens.max(1);
            let fits_key = self.tokens[key].used + wanted <= KEY_BUDGET;
            let fits_project = self.project().used + wanted <= PROJECT_BUDGET;
            assert!(!fits_key || !fits_project, "{tokens} have room");
        }
    }

    async fn settle(&mut self, run: OpenRun, tokens: u64) {
        let held = run.hold.amount().tokens;
        self.charged.insert(run.hold.id().to_owned(), tokens);
        let of_key = &mut self.tokens[run.key];
        of_key.used = of_key.used - held + tokens;
        of_key.excess += tokens.saturating_sub(held);
        let debit = run.hold.settle(charge(tokens, 0)).await.unwrap();
        assert_eq!(debit, amount(tokens, 0));
    }

    /// Kills a server. Its holds are charged as they are, by itself or by all others at once.
    async fn kill(&mut self, node: usize, restarts: bool) {
        if self.servers[node].take().is_none() {
            return;
        }
        let open = std::mem::take(&mut self.open).into_iter();
        let (lost, open): (Vec<_>, Vec<_>) = open.partition(|run| run.node == node);
        self.open = open;
        for run in lost {
            self.charge_as_held(&run);
            run.hold.forget();
        }
        if restarts || self.servers.len() == 1 {
            self.start_if_killed(node).await;
            return;
        }
        end_lease(&self.redis, NODES[node]).await;
        self.start_if_killed((node + 1) % self.servers.len()).await;
        // A server whose own lease is over takes nothing over.
        for takes_over in [false, true] {
            let living = self.servers.iter().flatten();
            join_all(living.map(|server| server.ledger.renew_lease(takes_over))).await;
        }
    }

    async fn start_if_killed(&mut self, node: usize) {
        if self.servers[node].is_none() {
            self.servers[node] = Some(server(&self.redis, NODES[node]).await);
        }
    }

    fn project(&self) -> KeyTokens {
        KeyTokens {
            used: self.tokens.iter().map(|key| key.used).sum(),
            excess: self.tokens.iter().map(|key| key.excess).sum(),
        }
    }

    /// Compares the budgets, as each living server tells them, with the model.
    async fn assert_budgets(&self) {
        let project = self.project();
        for server in self.servers.iter().flatten() {
            for (key, of_key) in self.tokens.iter().enumerate() {
                let budgets = server.ledger.reader().budgets(&caller_of(key)).await;
                for budget in budgets.unwrap() {
                    let expected = match budget.scope {
                        BudgetScope::Key => of_key,
                        _ => &project,
                    };
                    assert_eq!(budget.used, amount(expected.used, 0), "{:?}", budget.scope);
                    let allowed = budget.cap.tokens.unwrap() + expected.excess;
                    assert!(expected.used <= allowed, "{expected:?}");
                }
            }
        }
    }

    /// Ends what still runs, and compares all charges with the model.
    async fn end(mut self) {
        while let Some(run) = self.take(0) {
            let tokens = run.hold.amount().tokens;
            self.settle(run, tokens).await;
        }
        self.assert_budgets().await;
        let store = self.redis.store(TaskTracker::new());
        let report = verify(&store).await.unwrap();
        assert_eq!((report.problems, report.holds), (Vec::new(), 0));
        let reader = LedgerReader::new(store, Clock::new(|| NOW));
        let charges = reader.charges().await.unwrap().into_iter();
        let charged = charges.map(|charge| (charge.id, charge.amount.tokens));
        assert_eq!(charged.collect::<BTreeMap<_, _>>(), self.charged);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn servers_on_one_redis_charge_each_hold_once_and_overspend_nothing(
        count in 1..=NODES.len(),
        steps in steps(),
    ) {
        run(async {
            let mut nodes = Nodes::start(count).await;
            for step in steps {
                nodes.step(step).await;
                nodes.assert_budgets().await;
            }
            nodes.end().await;
        });
    }
}
