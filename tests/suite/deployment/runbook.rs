//! `deploy/RUNBOOK.md`: a section for each alert, and only commands that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use harness::syncmux;

use super::{documents, read};

/// The sections by heading.
fn sections(runbook: &str) -> BTreeMap<&str, &str> {
    let parts = runbook.split("\n## ").skip(1);
    parts.map(|part| part.split_once('\n').expect("a section has a body")).collect()
}

#[test]
fn every_alert_has_a_section_that_says_what_to_do() {
    let runbook = read("RUNBOOK.md");
    let sections = sections(&runbook);
    let mut alerts = BTreeSet::new();
    for document in documents(&read("alerts/sync-multiplexer.rules.yaml")) {
        let groups = document["groups"].as_array().expect("groups").iter();
        for rule in groups.flat_map(|group| group["rules"].as_array().expect("rules")) {
            let alert = rule["alert"].as_str().expect("a name").to_owned();
            let anchor = format!("#{}", alert.to_lowercase());
            let url = rule["annotations"]["runbook_url"].as_str().expect("a link");
            assert!(url.ends_with(&format!("RUNBOOK.md{anchor}")), "{alert} leads to {url}");
            let section = sections.get(alert.as_str()).unwrap_or_else(|| panic!("no section for {alert}"));
            for part in ["**See.**", "**Meaning.**", "**Do.**", "\n1. "] {
                assert!(section.contains(part), "{alert} lacks {part:?}");
            }
            assert!(section.contains("`syncmux "), "{alert} names no command");
            alerts.insert(alert);
        }
    }
    let written: BTreeSet<_> = sections.keys().map(|heading| (*heading).to_owned()).collect();
    assert_eq!(written, alerts, "sections and alerts are the same");
}

#[test]
fn every_command_in_it_exists() {
    let runbook = read("RUNBOOK.md");
    let mut helps = BTreeMap::new();
    let mut seen = 0;
    // Code in lines and code in blocks: everything between backticks.
    for code in runbook.replace("```", "`").split('`').skip(1).step_by(2).flat_map(str::lines) {
        let words: Vec<_> = code.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "syncmux" || word.ends_with("/syncmux")) else { continue };
        let arguments = &words[at + 1..];
        let named =
            |word: &&&str| word.chars().all(|it| it.is_ascii_lowercase() || it == '-') && !word.starts_with('-');
        let command: Vec<_> = arguments.iter().take_while(named).copied().collect();
        assert!(!command.is_empty(), "no command: {code}");
        let help = helps.entry(command.clone()).or_insert_with(|| {
            let output = Command::new(syncmux()).args(&command).arg("--help").output().expect("the program runs");
            assert!(output.status.success(), "{command:?} does not exist");
            String::from_utf8_lossy(&output.stdout).into_owned()
        });
        for flag in arguments.iter().filter(|word| word.starts_with("--")) {
            let told = help.split_whitespace().any(|word| word == *flag);
            assert!(told, "{command:?} takes no {flag}: {code}");
        }
        seen += 1;
    }
    assert!(seen > 40, "{seen} commands");
}
