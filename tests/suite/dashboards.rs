//! The dashboard and the alerts ask only for what is shown: every name and every label in them is one that is defined, and
//! `telemetry` proves that what is defined is what a worker shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use activities::metrics::{INSTRUMENTS, Instrument};
use serde_json::Value;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a query language calls by a name: words, and whether each is followed by matchers.
fn words(expression: &str) -> Vec<&str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    expression.split(|letter| !is_part(letter)).filter(|word| !word.is_empty()).collect()
}

/// Labels of the series behind `name`, those that Prometheus adds included.
fn labels(name: &str) -> Option<BTreeSet<&'static str>> {
    INSTRUMENTS.iter().find_map(|(defined, instrument, labels)| {
        let rest = name.strip_prefix(defined)?;
        let of_series = labels.iter().copied();
        match (instrument, rest) {
            (Instrument::Histogram, "_bucket") => Some(of_series.chain(["le"]).collect()),
            (Instrument::Histogram, "_sum" | "_count") | (Instrument::Counter | Instrument::Gauge, "") => {
                Some(of_series.collect())
            }
            _ => None,
        }
    })
}

/// Fails for a name or a label that nothing shows. Answers the labels that are left after adding up.
fn check(expression: &str) -> BTreeSet<String> {
    let names: Vec<&str> = words(expression).into_iter().filter(|word| word.starts_with("syncmux")).collect();
    assert!(!names.is_empty(), "{expression} asks for nothing of ours");
    let mut known = BTreeSet::new();
    for name in &names {
        known.extend(labels(name).unwrap_or_else(|| panic!("{name} is not shown: {expression}")));
    }
    let mut rest = expression;
    while let Some((before, after)) = rest.split_once('{') {
        let name = words(before).last().copied().unwrap_or_default();
        let of_name = labels(name).unwrap_or_else(|| panic!("{name} is not shown: {expression}"));
        let (matchers, after) = after.split_once('}').expect("matchers are closed");
        for matcher in matchers.split("\",") {
            let label = words(matcher)[0];
            assert!(of_name.contains(label), "{name} has no label {label}: {expression}");
        }
        rest = after;
    }
    let mut left = BTreeSet::new();
    for after in expression.split(" by ").skip(1) {
        let list = after.trim_start().strip_prefix('(').and_then(|it| it.split_once(')')).expect("by (labels)").0;
        for label in list.split(',').map(str::trim) {
            assert!(known.contains(label), "there is no label {label}: {expression}");
            left.insert(label.to_owned());
        }
    }
    left
}

/// Labels that a text for people names.
fn named(text: &str, open: &str) -> Vec<String> {
    let places = text.split(open).skip(1);
    places.map(|it| it.split("}}").next().unwrap_or_default().trim().to_owned()).collect()
}

#[test]
fn every_alert_asks_for_what_is_shown_and_names_its_page() {
    let rules: BTreeMap<String, Value> =
        serde_yaml_ng::from_str(&read("alerts/sync-multiplexer.rules.yaml")).expect("the rules are YAML");
    let groups = rules["groups"].as_array().expect("groups");
    let alerts: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
    assert!(alerts.len() > 10, "{} alerts", alerts.len());
    let mut names = BTreeSet::new();
    for alert in alerts {
        let name = alert["alert"].as_str().expect("an alert has a name");
        assert!(names.insert(name), "{name} is there twice");
        let left = check(alert["expr"].as_str().expect("an alert has an expression"));
        assert!(["critical", "warning", "info"].contains(&alert["labels"]["severity"].as_str().expect("a severity")));
        let page = format!("RUNBOOK.md#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"].as_str(), Some(page.as_str()));
        for text in ["summary", "description"] {
            let text = alert["annotations"][text].as_str().expect("an alert says what it is");
            for label in named(text, "{{ $labels.") {
                assert!(left.contains(&label), "{name} names {label}, which is added up");
            }
        }
    }
}

#[test]
fn every_panel_asks_for_what_is_shown_and_every_metric_is_on_one() {
    let dashboard: Value = serde_json::from_str(&read("grafana/sync-multiplexer.json")).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut asked = String::new();
    for panel in panels {
        for target in panel["targets"].as_array().expect("a panel asks for something") {
            let expression = target["expr"].as_str().expect("a query");
            let left = check(expression);
            for label in named(target["legendFormat"].as_str().unwrap_or_default(), "{{") {
                assert!(left.contains(&label), "{:?} names {label}, which is added up", panel["title"]);
            }
            asked.push_str(expression);
            asked.push('\n');
        }
    }
    for (name, ..) in INSTRUMENTS {
        assert!(asked.contains(name), "{name} is on no panel");
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "panels share an id");
}

#[test]
fn a_name_or_a_label_that_is_not_shown_is_found() {
    for wrong in [
        "sum(rate(syncmux_entitys_total[5m]))",
        "sum(syncmux_entities_total{sync_id=\"x\"})",
        "sum by (sync_id) (syncmux_entities_total)",
        "syncmux_batch_duration_seconds",
        "up == 0",
    ] {
        assert!(std::panic::catch_unwind(|| check(wrong)).is_err(), "{wrong}");
    }
    assert_eq!(check("sum by (kind) (rate(syncmux_retries_total{kind!=\"x\"}[5m]))"), ["kind".to_owned()].into());
}
