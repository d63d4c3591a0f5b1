//! Tests of the deficit round robin queue.

use proptest::prelude::*;

use super::super::*;

fn tenant(id: usize) -> Tenant {
    Tenant::new(&id.to_string(), weight(id))
}

/// Returns the weight of a tenant; weights differ by tenant.
fn weight(id: usize) -> u32 {
    1 + u32::try_from(id).unwrap() % 3
}

/// Returns the tenants of the next `count` turns.
fn turns(rounds: &mut FairQueue<usize>, count: usize) -> Vec<usize> {
    (0..count).map_while(|_| rounds.pop()).collect()
}

fn of(tenants: &[(usize, usize)]) -> FairQueue<usize> {
    let mut rounds = FairQueue::default();
    for (id, count) in tenants {
        (0..*count).for_each(|_| rounds.push(&tenant(*id), *id));
    }
    rounds
}

#[test]
fn tenants_get_turns_by_weight() {
    assert_eq!(
        turns(&mut of(&[(0, 3), (3, 3), (1, 5)]), 20),
        [0, 3, 1, 1, 0, 3, 1, 1, 0, 3, 1]
    );
}

#[test]
fn new_tenant_goes_before_tenants_that_used_their_turns() {
    let mut rounds = of(&[(0, 100)]);
    assert_eq!(turns(&mut rounds, 3), [0, 0, 0]);
    rounds.push(&tenant(3), 3);
    assert_eq!(turns(&mut rounds, 1), [3]);
    rounds.push(&tenant(3), 3);
    assert_eq!(
        turns(&mut rounds, 3),
        [0, 3, 0],
        "and has no second turn in the same round"
    );
}

#[test]
fn turn_without_queueing_counts_for_the_round() {
    let mut rounds = FairQueue::default();
    rounds.record_turn(&tenant(0));
    rounds.push(&tenant(0), 0);
    rounds.push(&tenant(3), 3);
    assert_eq!(turns(&mut rounds, 2), [3, 0]);
}

#[test]
fn turn_without_queueing_keeps_the_records_of_other_tenants() {
    let mut rounds = FairQueue::default();
    [0, 1, 0]
        .iter()
        .for_each(|id| rounds.record_turn(&tenant(*id)));
    for id in [0, 1, 3] {
        rounds.push(&tenant(id), id);
    }
    assert_eq!(
        turns(&mut rounds, 3),
        [3, 1, 0],
        "and who had one last is last"
    );
}

#[test]
fn records_of_turns_without_queueing_are_bounded() {
    let mut rounds = FairQueue::<usize>::default();
    (0..1000).for_each(|id| rounds.record_turn(&tenant(id)));
    [999, 0]
        .iter()
        .for_each(|id| rounds.push(&tenant(*id), *id));
    assert_eq!(
        turns(&mut rounds, 2),
        [0, 999],
        "that of the first is forgotten"
    );
}

#[test]
fn pop_newest_of_longest_takes_the_last_item_of_the_longest_line() {
    let mut rounds = FairQueue::default();
    for (id, item) in [(0, "a"), (0, "b"), (0, "c"), (1, "d")] {
        rounds.push(&tenant(id), item);
    }
    assert_eq!(
        (rounds.longest(), rounds.len_of(&tenant(1)), rounds.len()),
        (3, 1, 4)
    );
    assert_eq!(rounds.pop_newest_of_longest(), Some("c"));
    rounds.retain(|item| *item != "d");
    assert_eq!(rounds.drain(), ["a", "b"]);
    assert_eq!((rounds.len(), rounds.pop()), (0, None));
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Pop,
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_usize).prop_map(Step::Push),
        4 => Just(Step::Pop),
        1 => (0..6_usize).prop_map(Step::Leave),
    ]
}

proptest! {
    /// Property: while a tenant waits, every other tenant has at most its weight in turns, and
    /// items leave in the order in which they came.
    #[test]
    fn no_tenant_waits_for_more_than_one_round(steps in prop::collection::vec(step(), 1..300)) {
        let mut rounds: FairQueue<(usize, usize)> = FairQueue::default();
        // Turns of each other tenant since the tenant began to wait, or had its last turn.
        let mut since = [[0_u32; 6]; 6];
        let mut lines = [const { std::collections::VecDeque::<usize>::new() }; 6];
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push(id) => {
                    if lines[id].is_empty() {
                        since[id] = [0; 6];
                    }
                    lines[id].push_back(number);
                    rounds.push(&tenant(id), (id, number));
                }
                Step::Leave(id) => {
                    lines[id].clear();
                    rounds.retain(|(other, _)| *other != id);
                }
                Step::Pop => {
                    let waiting = lines.iter().any(|line| !line.is_empty());
                    let popped = rounds.pop();
                    prop_assert_eq!(popped.is_some(), waiting);
                    let Some((id, number)) = popped else { continue };
                    prop_assert_eq!(lines[id].pop_front(), Some(number));
                    since[id] = [0; 6];
                    for other in (0..6).filter(|other| *other != id && !lines[*other].is_empty()) {
                        since[other][id] += 1;
                        let max = since[other][id];
                        prop_assert!(max <= weight(id), "{other} waits for {max} turns of {id}");
                    }
                }
            }
            prop_assert_eq!(rounds.len(), lines.iter().map(std::collections::VecDeque::len).sum::<usize>());
        }
    }
}
