use super::super::task::TaskStatus;
use super::*;
use crate::storage::store::testing::read_earlier_record;

fn dollars(text: &str) -> Money {
    Money::from_decimal(text).unwrap()
}

/// Returns a task that may cost $1. With an id it is below the root.
fn task(id: Option<&str>, status: TaskStatus, cost: Option<&str>) -> Task {
    let root: Task = read_earlier_record(include_bytes!("fixtures/task-v1.json"));
    let lineage = id.map(|_| TaskLineage {
        parent: root.id.clone(),
        root: root.id.clone(),
        depth: 1,
    });
    Task {
        id: id.map_or(root.id.clone(), str::to_owned),
        lineage,
        status,
        cost_nanos: cost.map(|cost| dollars(cost).nanos()),
        ..root
    }
}

fn running_root() -> TaskFamily {
    TaskFamily::new(&task(None, TaskStatus::Running, None))
}

/// Adds a task below the root, and returns its share or else the refusal.
fn add(family: &mut TaskFamily, id: &str, wanted: Option<&str>) -> Result<String, String> {
    let added = family.add(id, "root", wanted.map(dollars), Money::ZERO);
    added
        .map(|share| share.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn shares_of_a_family_are_refused_above_its_limit() {
    let mut family = running_root();
    assert_eq!(add(&mut family, "a", Some("0.4")).unwrap(), "$0.40");
    assert_eq!(add(&mut family, "b", Some("0.4")).unwrap(), "$0.40");
    assert_eq!(
        add(&mut family, "c", Some("0.3")).unwrap_err(),
        "$0.20 of $1.00 are left in the budget of the family"
    );
    assert_eq!(add(&mut family, "c", None).unwrap(), "$0.20");
    assert!(add(&mut family, "d", None).is_err());
    assert!(add(&mut family, "d", Some("0.000000001")).is_err());
    assert_eq!(family.limit_of_root(), Money::ZERO);
    family.settle(&task(Some("a"), TaskStatus::Completed, Some("0.1")));
    assert_eq!(family.left(Money::ZERO), dollars("0.3"));
    family.release("b");
    assert_eq!(family.left(Money::ZERO), dollars("0.7"));
}

#[test]
fn cost_of_the_root_counts_in_its_family() {
    let mut family = running_root();
    assert_eq!(family.left(dollars("0.3")), dollars("0.7"));
    assert_eq!(family.left(dollars("1.3")), Money::ZERO);
    family.settle(&task(None, TaskStatus::Completed, Some("0.25")));
    assert_eq!(family.left(dollars("0.3")), dollars("0.75"));
    let ended = TaskFamily::new(&task(None, TaskStatus::Failed, Some("0.25")));
    assert_eq!(ended, family);
}

#[test]
fn unknown_cost_counts_as_the_whole_share() {
    for (status, left) in [
        (TaskStatus::Interrupted, "0"),
        (TaskStatus::Failed, "0"),
        (TaskStatus::Cancelled, "1"),
    ] {
        let mut family = running_root();
        add(&mut family, "a", Some("1")).unwrap();
        family.settle(&task(Some("a"), status, None));
        assert_eq!(family.left(Money::ZERO), dollars(left), "{status:?}");
    }
}

#[test]
fn deleted_task_is_hidden_and_its_cost_counts() {
    let mut family = running_root();
    for (id, parent) in [("a", "root"), ("b", "a"), ("c", "root"), ("d", "b")] {
        let share = Some(dollars("0.1"));
        family.add(id, parent, share, Money::ZERO).unwrap();
    }
    family.settle(&task(Some("a"), TaskStatus::Completed, Some("0.1")));
    let deleted = task(Some("a"), TaskStatus::Completed, Some("0.1"));
    family.hide(&deleted);
    family.release("a");
    assert_eq!(family.children_of("root"), ["c"]);
    assert_eq!(family.children_of("a"), ["b"]);
    assert_eq!(family.descendants_of("root"), ["a", "b", "c", "d"]);
    assert_eq!(family.descendants_of("b"), ["d"]);
    assert_eq!(family.open_members(), ["b", "c", "d"]);
    assert_eq!(family.left(Money::ZERO), dollars("0.6"));
}

#[test]
fn family_takes_a_bounded_number_of_tasks() {
    let mut family = running_root();
    for number in 0..MAX_MEMBERS {
        add(&mut family, &number.to_string(), Some("0.01")).unwrap();
    }
    assert_eq!(
        add(&mut family, "one more", Some("0.01")).unwrap_err(),
        "a family has at most 100 tasks below its first"
    );
}

#[test]
fn stored_family_of_version_1_is_read() {
    let family: TaskFamily = read_earlier_record(include_bytes!("fixtures/task-family-v1.json"));
    assert_eq!(
        family.children_of("task_13d4e72a769d45d8ad815da4033f706d"),
        ["task_b"]
    );
    assert_eq!(family.left(Money::ZERO), dollars("0.65"));
}
