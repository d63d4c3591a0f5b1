//! Documents that name metrics: the table of `docs/api/health-and-metrics.md`, and the dashboard and
//! rules in `deploy`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

/// Suffixes of the series of a histogram.
const HISTOGRAM_SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Label names by family, as rendered in the format 0.0.4.
fn registered() -> BTreeMap<String, BTreeSet<String>> {
    let (metrics, levels) = filled();
    let text = testing::text(&metrics, &levels, MetricsFormat::Prometheus);
    let mut families = BTreeMap::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap_or_default().to_owned();
            families.insert(family.clone(), BTreeSet::new());
        } else if let Some((_, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let names = labels.split("\",").map(|label| label.split('=').next());
            let names = names.flatten().filter(|name| *name != "le");
            let labels: &mut BTreeSet<String> = families.entry(family.clone()).or_default();
            labels.extend(names.map(str::to_owned));
        }
    }
    families
}

/// Metrics in the first column of the table of the document, with their labels.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = read("docs/api/health-and-metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split(" |").next());
    let names = cells.flat_map(|cell| cell.split('`').step_by(2));
    names
        .filter(|name| name.starts_with("switchboard_") || name.starts_with("process_"))
        .map(|name| {
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            let labels = labels.trim_end_matches('}').split(", ");
            let labels = labels.filter(|label| !label.is_empty());
            (name.to_owned(), labels.map(str::to_owned).collect())
        })
        .collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names in `text` that are those of this server's metrics.
fn names_in(text: &str) -> BTreeSet<&str> {
    let is_inside = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    text.split(|character: char| !is_inside(character))
        .filter(|word| word.starts_with("switchboard_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn document_lists_every_metric_with_its_labels() {
    let message = "a family without a series is not rendered: `filled` has to record one for each";
    assert_eq!(documented(), registered(), "{message}");
}

#[test]
fn deployed_rules_and_dashboard_name_only_registered_metrics() {
    let families = registered();
    let is_registered = |name: &str| {
        let bases = HISTOGRAM_SUFFIXES.map(|suffix| name.strip_suffix(suffix));
        let mut bases = bases.into_iter().flatten();
        families.contains_key(name) || bases.any(|base| families.contains_key(base))
    };
    for (path, least) in [
        ("deploy/prometheus/alerts.yml", 5),
        ("deploy/prometheus/rules_test.yml", 5),
        ("deploy/grafana/switchboard.json", 20),
    ] {
        let text = read(path);
        let names = names_in(&text);
        assert!(names.len() >= least, "{path} names {names:?}");
        let unknown: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| !is_registered(name))
            .collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
}
