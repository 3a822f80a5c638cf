//! Contracts only grow: a field that was published keeps its number, its type and its JSON name.
//!
//! `published.txt` holds every field there ever was, a line each. When a field is added, run the test with
//! `SYNCMUX_PUBLISH_CONTRACTS=1` and commit the new line; a line that would change or go is a break of running
//! histories and of other people's clients.

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};

fn describe(prefix: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{prefix}.{}", message.name());
    for field in &message.field {
        let kind = match field.type_name() {
            "" => field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase(),
            named => named.trim_start_matches('.').to_owned(),
        };
        let label = field.label().as_str_name().trim_start_matches("LABEL_").to_lowercase();
        lines.insert(format!("{name}.{} = {} {label} {kind}", field.name(), field.number()));
    }
    for choice in &message.enum_type {
        for value in &choice.value {
            lines.insert(format!("{name}.{}.{} = {}", choice.name(), value.name(), value.number()));
        }
    }
    for nested in &message.nested_type {
        describe(&name, nested, lines);
    }
}

fn present() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("the build's descriptors decode");
    let mut lines = BTreeSet::new();
    for file in &set.file {
        for message in &file.message_type {
            describe(file.package(), message, &mut lines);
        }
        for choice in &file.enum_type {
            for value in &choice.value {
                lines.insert(format!("{}.{}.{} = {}", file.package(), choice.name(), value.name(), value.number()));
            }
        }
    }
    lines
}

#[test]
fn published_fields_keep_number_and_type() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published.txt");
    let present = present();
    if std::env::var_os("SYNCMUX_PUBLISH_CONTRACTS").is_some() {
        let text: String = present.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&file, text).expect("the list is writable");
    }
    let text = std::fs::read_to_string(&file).expect("the list is readable");
    let published: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let broken: Vec<_> = published.difference(&present).collect();
    assert!(broken.is_empty(), "these were published and are different or gone: {broken:#?}");
    let unpublished: Vec<_> = present.difference(&published).collect();
    assert!(unpublished.is_empty(), "publish these with SYNCMUX_PUBLISH_CONTRACTS=1: {unpublished:#?}");
}

#[test]
fn json_reads_both_spellings_and_writes_the_one_of_the_files() {
    let request: proto::v1::SwitchRequest =
        serde_json::from_str(r#"{"syncId":"s","target_slot_id":"t","expectedGeneration":"7"}"#)
            .expect("both spellings");
    assert_eq!((request.sync_id.as_str(), request.target_slot_id.as_str()), ("s", "t"));
    assert_eq!(request.expected_generation, Some(7));
    let text = serde_json::to_string(&request).expect("every message has a JSON form");
    assert_eq!(text, r#"{"sync_id":"s","target_slot_id":"t","expected_generation":"7"}"#);
}

#[test]
fn json_refuses_what_it_does_not_know() {
    let error = serde_json::from_str::<proto::v1::ForkOptions>(r#"{"allow_incomplet":true}"#).unwrap_err();
    assert!(error.to_string().contains("allow_incomplet"), "{error}");
}
