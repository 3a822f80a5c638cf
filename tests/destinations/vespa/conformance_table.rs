//! What Vespa's own tests of `/document/v1` assert, row by row, with the platform's types in place of theirs.
//!
//! Rows from `DocumentV1ApiTest.java`, which runs the handler on a mocked content cluster, and from
//! `documentv1.rb` and its neighbours of Vespa's system tests, which run on a real one. Some of the former provoke a
//! content cluster that fails or is silent: here the server's faults do, so these rows cannot run on a real Vespa and
//! are skipped there. Rows that this server cannot show either are listed with the reason.

use std::time::Duration;

use harness::vespa::{Fault, FaultRule, QueueLimits, VespaServerOptions, Victim};
use serde_json::{Value, json};

use super::target::{Answer, Target};

/// One exchange of a row.
struct Step {
    method: &'static str,
    target: &'static str,
    body: &'static str,
    status: u16,
    holds: fn(&Target, &Answer),
}

/// A row of the table.
struct Row {
    number: u32,
    steps: Vec<Step>,
}

const fn step(
    method: &'static str,
    target: &'static str,
    body: &'static str,
    status: u16,
    holds: fn(&Target, &Answer),
) -> Step {
    Step { method, target, body, status, holds }
}

fn anything(_: &Target, _: &Answer) {}

/// Asserts the message of a refusal.
fn says(answer: &Answer, expected: &str) {
    let message = answer.json["message"].as_str().unwrap_or_else(|| panic!("no message: {}", answer.text));
    assert!(message.contains(expected), "{message:?} does not say {expected:?}");
}

fn has_keys(answer: &Answer, expected: &[&str]) {
    let mut keys: Vec<&str> = answer.json.as_object().expect("a JSON object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(keys, expected, "{}", answer.text);
}

/// Rows that ask and are answered, on the server and on a real Vespa alike.
fn rows() -> Vec<Row> {
    let row = |number, steps| Row { number, steps };
    vec![
        row(
            1,
            vec![step("GET", "/document/v1/not-found", "", 404, |_, answer| {
                says(answer, "Nothing at '/document/v1/not-found'. Available paths are:\n");
                let message = answer.json["message"].as_str().unwrap_or_default();
                assert_eq!(
                    message.lines().filter(|line| line.starts_with("/document/v1/")).count(),
                    7,
                    "seven templates"
                );
                assert_eq!(answer.json["pathId"], "/document/v1/not-found");
            })],
        ),
        row(
            2,
            vec![
                step("POST", "/document/v1/NS/base_entity/docid/r2", r#"{"fields":{"name":"x"}}"#, 200, anything),
                step("DELETE", "/document/v1/NS/base_entity/docid/r2", "", 200, anything),
                step(
                    "GET",
                    "/document/v1?cluster=CLUSTER&wantedDocumentCount=1025&concurrency=123&fieldSet=[id]&tracelevel=9\
                 &includeRemoves=TrUe&selection=id.namespace=='NS'",
                    "",
                    200,
                    |target, answer| {
                        assert_eq!(answer.json["pathId"], "/document/v1");
                        let removed = target.fill("id:NS:base_entity::r2");
                        assert_eq!(answer.json["documents"], json!([{ "remove": removed }]));
                        assert_eq!(answer.json["documentCount"], 1, "removes count");
                        assert!(answer.json.get("trace").is_some());
                    },
                ),
            ],
        ),
        row(
            3,
            vec![
                step("POST", "/document/v1/NS/base_entity/docid/r3", r#"{"fields":{"name":"x"}}"#, 200, anything),
                step(
                    "GET",
                    "/document/v1/NS/base_entity/docid?stream=true&slices=1&sliceId=0",
                    "",
                    200,
                    |_, answer| {
                        has_keys(answer, &["pathId", "documents", "documentCount"]);
                        assert_eq!(
                            answer.json["documentCount"],
                            answer.json["documents"].as_array().map_or(0, Vec::len)
                        );
                    },
                ),
                step("GET", "/document/v1/NS/base_entity/docid?slices=4", "", 400, anything),
                step("DELETE", "/document/v1/NS/base_entity/docid/r3", "", 200, anything),
            ],
        ),
        row(
            4,
            vec![
                step("POST", "/document/v1/NS/base_entity/docid/r4", r#"{"fields":{"name":"x"}}"#, 200, anything),
                step("POST", "/document/v1/NSx/base_entity/docid/r4", r#"{"fields":{"name":"x"}}"#, 200, anything),
                step("GET", "/document/v1/NS/base_entity/docid?wantedDocumentCount=9", "", 200, |target, answer| {
                    let ids: Vec<&Value> =
                        answer.json["documents"].as_array().into_iter().flatten().map(|d| &d["id"]).collect();
                    assert_eq!(ids, [&json!(target.fill("id:NS:base_entity::r4"))], "the path is a selection too");
                }),
                step("GET", "/document/v1/NS/base_entity/docid?selection=bad%20%7C", "", 400, |_, answer| {
                    has_keys(answer, &["pathId", "message"]);
                }),
                step("DELETE", "/document/v1/NS/base_entity/docid/r4", "", 200, anything),
                step("DELETE", "/document/v1/NSx/base_entity/docid/r4", "", 200, anything),
            ],
        ),
        row(
            6,
            vec![step("POST", "/document/v1/NS/base_entity/docid", "", 400, |target, answer| {
                says(answer, &target.fill("Must specify 'destinationCluster' at '/document/v1/NS/base_entity/docid'"));
            })],
        ),
        row(
            8,
            vec![
                step(
                    "PUT",
                    "/document/v1/NS/base_entity/group/troupe?selection=false",
                    r#"{"fields":{}}"#,
                    400,
                    |target, answer| {
                        says(
                            answer,
                            &target.fill("Must specify 'cluster' at '/document/v1/NS/base_entity/group/troupe'"),
                        );
                    },
                ),
                step(
                    "PUT",
                    "/document/v1/NS/base_entity/group/troupe?cluster=CLUSTER",
                    r#"{"fields":{}}"#,
                    400,
                    |target, answer| {
                        says(
                            answer,
                            &target.fill("Must specify 'selection' at '/document/v1/NS/base_entity/group/troupe'"),
                        );
                    },
                ),
            ],
        ),
        row(
            10,
            vec![
                step("DELETE", "/document/v1/", "", 400, |_, answer| {
                    says(answer, "Must specify 'selection' at '/document/v1/'")
                }),
                step("DELETE", "/document/v1/?selection=true", "", 400, |_, answer| {
                    says(answer, "Must specify 'cluster' at '/document/v1/'");
                }),
            ],
        ),
        row(
            13,
            vec![step(
                "GET",
                "/document/v1/NS/base_entity/docid?fromTimestamp=100&toTimestamp=99",
                "",
                400,
                |_, answer| says(answer, "toTimestamp must be greater than, or equal to, fromTimestamp"),
            )],
        ),
        row(
            14,
            vec![step("GET", "/document/v1/NS/base_entity/docid/absent", "", 404, |target, answer| {
                assert_eq!(answer.json["id"], target.fill("id:NS:base_entity::absent"));
                has_keys(answer, &["pathId", "id"]);
            })],
        ),
        row(
            15,
            vec![
                step(
                    "POST",
                    "/document/v1/NS/base_entity/docid/r15",
                    r#"{"fields":{"sparse_embedding":{"cells":[{"address":{"token":"7"},"value":0.5}]},"dense_embedding":{"values":[1,2,3,4,5,6,7,8]}}}"#,
                    200,
                    anything,
                ),
                step("GET", "/document/v1/NS/base_entity/docid/r15", "", 200, |_, answer| {
                    assert_eq!(
                        answer.json["fields"],
                        json!({
                            "sparse_embedding": { "type": "tensor<float>(token{})", "cells": { "7": 0.5 } },
                            "dense_embedding": { "type": "tensor<bfloat16>(x[8])", "values": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0] },
                        })
                    );
                }),
                step(
                    "GET",
                    "/document/v1/NS/base_entity/docid/r15?format.tensors=short-value",
                    "",
                    200,
                    |_, answer| {
                        assert_eq!(answer.json["fields"]["sparse_embedding"], json!({ "7": 0.5 }));
                        assert_eq!(answer.json["fields"]["dense_embedding"][7], 8.0);
                    },
                ),
                step("GET", "/document/v1/NS/base_entity/docid/r15?format.tensors=long", "", 200, |_, answer| {
                    let cells = &answer.json["fields"]["dense_embedding"]["cells"];
                    assert_eq!(cells[1], json!({ "address": { "x": "1" }, "value": 2.0 }));
                }),
                step("GET", "/document/v1/NS/base_entity/docid/r15?format.tensors=long-value", "", 200, |_, answer| {
                    let cells = &answer.json["fields"]["sparse_embedding"];
                    assert_eq!(*cells, json!([{ "address": { "token": "7" }, "value": 0.5 }]));
                }),
                step("DELETE", "/document/v1/NS/base_entity/docid/r15", "", 200, anything),
            ],
        ),
        row(
            16,
            vec![step("GET", "/document/v1/NS/base_entity/docid/one/two/three", "", 404, |target, answer| {
                assert_eq!(answer.json["id"], target.fill("id:NS:base_entity::one/two/three"));
            })],
        ),
        row(
            17,
            vec![step("GET", "/document/v1/NS/base_entity/docid/one?dryRun=true", "", 400, |target, answer| {
                says(answer, &target.fill("May not specify 'dryRun' at '/document/v1/NS/base_entity/docid/one'"));
            })],
        ),
        row(
            18,
            vec![
                step("POST", "/document/v1/NS/base_entity/docid/r18?dryRun=true", "NO JSON", 200, |_, answer| {
                    has_keys(answer, &["pathId", "id"])
                }),
                step("PUT", "/document/v1/NS/base_entity/docid/r18?dryRun=true", "NO JSON", 200, |_, answer| {
                    has_keys(answer, &["pathId", "id"])
                }),
                step("DELETE", "/document/v1/NS/base_entity/docid/r18?dryRun=true", "", 200, |_, answer| {
                    has_keys(answer, &["pathId", "id"])
                }),
                step("GET", "/document/v1/NS/base_entity/docid/r18", "", 404, anything),
            ],
        ),
        row(
            19,
            vec![
                step(
                    "PUT",
                    "/document/v1/NS/base_entity/docid/r19?create=true&timeout=10e1s&dryRun=false",
                    r#"{"fields":{"name":{"assign":"Lisa"}}}"#,
                    200,
                    |_, answer| has_keys(answer, &["pathId", "id"]),
                ),
                step("DELETE", "/document/v1/NS/base_entity/docid/r19", "", 200, anything),
            ],
        ),
        row(
            20,
            vec![
                step(
                    "POST",
                    "/document/v1/NS/base_entity/docid/r20?create=true&condition=base_entity.name%3D%3D'x'&tracelevel=9",
                    r#"{"fields":{"name":"Asahi"}}"#,
                    200,
                    |_, answer| {
                        assert!(answer.json.get("trace").is_some());
                        assert!(!answer.ignored_operation);
                    },
                ),
                step("DELETE", "/document/v1/NS/base_entity/docid/r20", "", 200, anything),
            ],
        ),
        row(
            21,
            vec![step("POST", "/document/v1/NS/base_entity/docid/one", "", 400, |_, answer| {
                says(answer, "expected start of root object, got null");
            })],
        ),
        row(
            22,
            vec![step("POST", "/document/v1/NS/base_entity/docid/one", "{\"fields\":{!", 400, |_, answer| {
                says(answer, "failed parsing document: Unexpected character");
            })],
        ),
        row(
            23,
            vec![step("PUT", "/document/v1/NS/house/docid/one", r#"{"fields":{}}"#, 400, |_, answer| {
                says(answer, "Document type house does not exist");
            })],
        ),
        row(
            24,
            vec![
                step(
                    "PUT",
                    "/document/v1/NS/base_entity/docid/r24",
                    r#"{"fields":{"name":{"assign":"x"}}}"#,
                    200,
                    |_, answer| {
                        has_keys(answer, &["pathId", "id"]);
                    },
                ),
                step("GET", "/document/v1/NS/base_entity/docid/r24", "", 404, anything),
            ],
        ),
        row(
            26,
            vec![step("DELETE", "/document/v1/NS/base_entity/docid/one?route=", "", 400, |_, answer| {
                says(answer, "Expected non-empty value for request property 'route'");
            })],
        ),
        row(
            27,
            vec![step("GET", "/document/v1/NS/base_entity/docid/one?cluster=throw-me", "", 400, |target, answer| {
                says(answer, &target.fill("Your Vespa deployment has no content cluster 'throw-me', only 'CLUSTER'"));
            })],
        ),
        row(
            30,
            vec![
                step("OPTIONS", "/document/v1/NS/base_entity/docid/one", "", 204, |_, answer| {
                    let mut methods: Vec<&str> = answer.allow.split(',').collect();
                    methods.sort_unstable();
                    assert_eq!(methods, ["DELETE", "GET", "POST", "PUT"]);
                    assert_eq!(answer.text, "");
                }),
                step("PATCH", "/document/v1/NS/base_entity/docid/one", "", 405, |target, answer| {
                    says(
                        answer,
                        &target.fill(
                            "'PATCH' not allowed at '/document/v1/NS/base_entity/docid/one'. Allowed methods are: ",
                        ),
                    );
                }),
            ],
        ),
        row(
            35,
            vec![
                step("POST", "/document/v1/NS/base_entity/docid/r35", r#"{"fields":{"name":"x"}}"#, 200, anything),
                step(
                    "GET",
                    "/document/v1/NS/base_entity/docid?stream=true#application/json;q=0.7, application/jsonl;q=1",
                    "",
                    200,
                    |target, answer| {
                        assert_eq!(answer.content_type, "application/jsonl; charset=UTF-8");
                        let lines: Vec<Value> =
                            answer.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
                        let puts: Vec<&Value> = lines.iter().filter(|line| line.get("put").is_some()).collect();
                        assert_eq!(
                            puts,
                            [&json!({ "put": target.fill("id:NS:base_entity::r35"), "fields": { "name": "x" } })]
                        );
                        assert_eq!(
                            lines
                                .iter()
                                .filter(|line| line.pointer("/sessionStats/documentCount") == Some(&json!(1)))
                                .count(),
                            1
                        );
                        let last = lines.last().expect("a last line");
                        assert_eq!(last.pointer("/continuation/percentFinished"), Some(&json!(100.0)));
                        assert_eq!(last.pointer("/continuation/token"), None, "complete");
                    },
                ),
                step(
                    "GET",
                    "/document/v1/NS/base_entity/docid?stream=true#application/json;q=0.7, application/jsonl;q=0.1",
                    "",
                    200,
                    |_, answer| {
                        assert_eq!(answer.content_type, "application/json; charset=UTF-8");
                        assert_eq!(answer.json["documentCount"], 1);
                    },
                ),
                step("GET", "/document/v1/NS/base_entity/docid?stream=true#no such thing", "", 400, anything),
                step("DELETE", "/document/v1/NS/base_entity/docid/r35", "", 200, anything),
            ],
        ),
        row(
            37,
            vec![step("GET", "/document/v1/NS/base_entity/docid", "", 200, |_, answer| {
                has_keys(answer, &["pathId", "documents", "documentCount"]);
                assert_eq!((&answer.json["documents"], &answer.json["documentCount"]), (&json!([]), &json!(0)));
            })],
        ),
        row(
            38,
            vec![
                step(
                    "POST",
                    "/document/v1/NS/base_entity/docid/r38?condition=base_entity.name%3D%3D'y'",
                    r#"{"fields":{"name":"x"}}"#,
                    412,
                    anything,
                ),
                step("POST", "/document/v1/NS/base_entity/docid/r38", r#"{"fields":{"name":"x"}}"#, 200, anything),
                step(
                    "POST",
                    "/document/v1/NS/base_entity/docid/r38?condition=base_entity.name%3D%3D'y'",
                    r#"{"fields":{"name":"z"}}"#,
                    412,
                    |_, answer| {
                        has_keys(answer, &["pathId", "id", "message"]);
                    },
                ),
                step(
                    "POST",
                    "/document/v1/NS/base_entity/docid/r38?condition=base_entity.name%3D%3D'x'",
                    r#"{"fields":{"name":"z"}}"#,
                    200,
                    anything,
                ),
                step("GET", "/document/v1/NS/base_entity/docid/r38", "", 200, |_, answer| {
                    assert_eq!(answer.json["fields"], json!({ "name": "z" }));
                }),
                step("DELETE", "/document/v1/NS/base_entity/docid/r38", "", 200, anything),
            ],
        ),
        row(
            39,
            vec![
                step("POST", "/document/v1/NS/base_entity/docid/r39", r#"{"fields":{"name":"x"}}"#, 200, anything),
                step("GET", "/document/v1/NS/base_entity/docid", "", 200, |_, answer| {
                    has_keys(answer, &["pathId", "documents", "documentCount", "continuation"]);
                    assert_eq!(answer.json["documentCount"], 1);
                }),
                step("GET", "/document/v1/NS/base_entity/docid?selection=false", "", 200, |_, answer| {
                    has_keys(answer, &["pathId", "documents", "documentCount"]);
                    assert_eq!(answer.json["documentCount"], 0);
                }),
                step("DELETE", "/document/v1/NS/base_entity/docid/r39", "", 200, anything),
            ],
        ),
        row(
            40,
            vec![
                step(
                    "POST",
                    "/document/v1/NS/base_entity/docid/r40",
                    r#"{"fields":{"name":"x","size_unused":null}}"#,
                    400,
                    anything,
                ),
                step("POST", "/document/v1/NS/base_entity/docid/r40", r#"{"fields":{"name":"x"}}"#, 200, anything),
                step(
                    "PUT",
                    "/document/v1/NS/base_entity/docid/r40",
                    r#"{"condition":"base_entity.name=='x'","fields":{"name":{"assign":"y"}}}"#,
                    200,
                    anything,
                ),
                step("GET", "/document/v1/NS/base_entity/docid/r40", "", 200, |_, answer| {
                    assert_eq!(answer.json["fields"]["name"], "y")
                }),
                step(
                    "DELETE",
                    "/document/v1/NS/base_entity/docid/r40?condition=base_entity.name%3D%3D'x'",
                    "",
                    412,
                    |_, answer| {
                        says(answer, "TEST_AND_SET_CONDITION_FAILED");
                    },
                ),
                step(
                    "DELETE",
                    "/document/v1/NS/base_entity/docid/r40?condition=base_entity.name%3D%3D'y'",
                    "",
                    200,
                    anything,
                ),
            ],
        ),
        row(
            41,
            vec![
                step(
                    "POST",
                    "/document/v1/NS/base_entity/docid/vg.no/latest/news/!",
                    r#"{"fields":{"name":"x"}}"#,
                    200,
                    |target, answer| {
                        assert_eq!(answer.json["id"], target.fill("id:NS:base_entity::vg.no/latest/news/!"));
                        assert_eq!(
                            answer.json["pathId"],
                            target.fill("/document/v1/NS/base_entity/docid/vg.no/latest/news/!")
                        );
                    },
                ),
                step(
                    "POST",
                    "/document/v1/NS/base_entity/docid/vg.no%2Flatest%2Fnews%2F%21",
                    r#"{"fields":{"name":"x"}}"#,
                    200,
                    |target, answer| {
                        assert_eq!(answer.json["id"], target.fill("id:NS:base_entity::vg.no/latest/news/!"));
                        assert_eq!(
                            answer.json["pathId"],
                            target.fill("/document/v1/NS/base_entity/docid/vg.no%2Flatest%2Fnews%2F%21")
                        );
                    },
                ),
                step("DELETE", "/document/v1/NS/base_entity/docid/vg.no/latest/news/!", "", 200, anything),
            ],
        ),
        row(
            42,
            vec![step(
                "POST",
                "/document/v1/NS/base_entity/docid/one",
                r#"{"fields":{"habla babla":1}}"#,
                400,
                |_, answer| {
                    says(answer, "Field 'habla babla' is not defined in document type 'base_entity'");
                },
            )],
        ),
        row(
            43,
            vec![
                step(
                    "PUT",
                    "/document/v1/NS/base_entity/docid/r43?create=false",
                    r#"{"fields":{"name":{"assign":"x"}}}"#,
                    200,
                    anything,
                ),
                step("GET", "/document/v1/NS/base_entity/docid/r43", "", 404, anything),
                step(
                    "PUT",
                    "/document/v1/NS/base_entity/docid/r43?create=true",
                    r#"{"fields":{"name":{"assign":"x"}}}"#,
                    200,
                    anything,
                ),
                step("GET", "/document/v1/NS/base_entity/docid/r43", "", 200, anything),
                step("DELETE", "/document/v1/NS/base_entity/docid/r43", "", 200, anything),
            ],
        ),
        // Missing and tombstone are one: neither meets a condition, and `create` makes up for both.
        row(
            45,
            vec![
                step("DELETE", "/document/v1/NS/base_entity/docid/r45?condition=true", "", 412, anything),
                step(
                    "PUT",
                    "/document/v1/NS/base_entity/docid/r45?condition=true",
                    r#"{"fields":{"name":{"assign":"x"}}}"#,
                    412,
                    |_, answer| {
                        says(answer, "Document does not exist");
                    },
                ),
                step(
                    "POST",
                    "/document/v1/NS/base_entity/docid/r45?condition=false&create=true",
                    r#"{"fields":{"name":"x"}}"#,
                    200,
                    anything,
                ),
                step(
                    "PUT",
                    "/document/v1/NS/base_entity/docid/r45?condition=false&create=true",
                    r#"{"fields":{"name":{"assign":"y"}}}"#,
                    412,
                    anything,
                ),
                step("DELETE", "/document/v1/NS/base_entity/docid/r45", "", 200, anything),
                step(
                    "POST",
                    "/document/v1/NS/base_entity/docid/r45?condition=true",
                    r#"{"fields":{"name":"x"}}"#,
                    412,
                    anything,
                ),
                step(
                    "PUT",
                    "/document/v1/NS/base_entity/docid/r45?condition=false&create=true",
                    r#"{"fields":{"name":{"assign":"y"}}}"#,
                    200,
                    anything,
                ),
                step("GET", "/document/v1/NS/base_entity/docid/r45", "", 200, |_, answer| {
                    assert_eq!(answer.json["fields"]["name"], "y")
                }),
                step("DELETE", "/document/v1/NS/base_entity/docid/r45", "", 200, anything),
            ],
        ),
    ]
}

/// Rows with tests of their own below: they need a fault, an option, or more than a few exchanges.
const ROWS_ELSEWHERE: [u32; 14] = [5, 7, 9, 11, 12, 25, 28, 29, 31, 32, 33, 34, 36, 44];

#[tokio::test]
async fn every_row_holds() {
    for row in rows() {
        // Each row begins with nothing in its namespace.
        let target = Target::any().await;
        for (at, step) in row.steps.iter().enumerate() {
            // What follows a hash is an Accept header; no target of the table has a fragment.
            let (address, accept) = step.target.split_once('#').unwrap_or((step.target, "*/*"));
            let answer = target.send_with(step.method, address, step.body, &[("accept", accept)]).await;
            assert_eq!(answer.status, step.status, "row {}, step {at}: {}", row.number, answer.text);
            println!("row {}, step {at}: {} {}", row.number, step.method, step.target);
            (step.holds)(&target, &answer);
        }
        target.clean_up().await;
    }
}

#[test]
fn every_row_is_somewhere() {
    let mut numbers: Vec<u32> = rows().iter().map(|row| row.number).chain(ROWS_ELSEWHERE).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=45).collect::<Vec<_>>());
}

/// A server on which things go wrong; these rows cannot be had from a real Vespa at will.
async fn faulty(rule: FaultRule) -> Target {
    let target = Target::server(VespaServerOptions::default()).await;
    for n in 0..3 {
        let put = format!("/document/v1/NS/base_entity/docid/d{n}");
        assert_eq!(target.send("POST", &put, r#"{"fields":{"name":"x"}}"#).await.status, 200);
    }
    target.own().expect("a server of its own").inject(rule);
    target
}

#[tokio::test]
async fn rows_5_and_11_a_visit_that_fails() {
    let failing = || FaultRule::new(Fault::InternalError).on(Victim::Visits);
    let target = faulty(failing()).await;
    let answer = target.send("GET", "/document/v1/NS/base_entity/docid?stream=true", "").await;
    assert_eq!(answer.status, 200, "a stream has sent its status before it fails");
    has_keys(&answer, &["pathId", "documents", "documentCount", "message", "continuation"]);
    let answer = target.send("GET", "/document/v1/NS/base_entity/group/best%27", "").await;
    assert_eq!(answer.status, 500);
    assert_eq!((&answer.json["documents"], &answer.json["documentCount"]), (&json!([]), &json!(0)));
    assert!(answer.json["message"].is_string());
}

#[tokio::test]
async fn row_7_an_update_of_a_selection_with_unknown_fields() {
    let options =
        VespaServerOptions { ignore_undefined_fields: true, buckets_per_sweep: 31, ..VespaServerOptions::default() };
    let target = Target::server(options).await;
    target.send("POST", "/document/v1/NS/base_entity/docid/one", r#"{"fields":{"name":"x"}}"#).await;
    let body = r#"{"unknown":[1],"fields":{"unknown":{"assign":1},"name":{"assign":"Lisa"}}}"#;
    let target_of = "/document/v1/NS/base_entity/docid?selection=true&cluster=CLUSTER&timeChunk=10";
    let (answers, _) = target.follow("PUT", target_of, body).await;
    assert!(answers[0].json["continuation"].is_string() && answers.len() == 2);
    let counts: u64 = answers.iter().filter_map(|answer| answer.json["documentCount"].as_u64()).sum();
    assert_eq!(counts, 1);
    assert_eq!(answers.iter().filter(|answer| answer.ignored_fields).count(), 1);
}

#[tokio::test]
async fn row_9_a_delete_of_a_selection_that_fails_half_way() {
    let target = faulty(FaultRule::new(Fault::InternalError).on(Victim::Removes).every(2)).await;
    let of = "/document/v1/NS/base_entity/docid?selection=true&cluster=CLUSTER";
    let mut answer = target.send("DELETE", of, "").await;
    while answer.status == 200 {
        let token = answer.json["continuation"].as_str().expect("more, until it fails").replace('=', "%3D");
        answer = target.send("DELETE", &format!("{of}&continuation={token}"), "").await;
    }
    assert_eq!(answer.status, 500);
    has_keys(&answer, &["pathId", "documentCount", "message"]);
    assert_eq!(target.own().expect("a server of its own").ids().len(), 2, "one was removed");
}

#[tokio::test]
async fn rows_12_and_36_a_visit_that_runs_out_of_time() {
    let options = VespaServerOptions { bucket_time: Duration::from_millis(20), ..VespaServerOptions::default() };
    let target = Target::server(options).await;
    target.send("POST", "/document/v1/NS/base_entity/number/123/one", r#"{"fields":{"name":"x"}}"#).await;
    // Time for about five buckets of 32 beside the 5 s that are kept for the answer.
    let of = "/document/v1/NS/base_entity/number/123?selection=false&timeout=5.1";
    let answer = target.send("GET", of, "").await;
    assert_eq!(answer.status, 200);
    has_keys(&answer, &["pathId", "documents", "documentCount", "continuation"]);
    let (_, documents) = target.follow("GET", "/document/v1/NS/base_entity/number/123?timeout=10", "").await;
    assert_eq!(documents.len(), 1);

    let late = "/document/v1/NS/base_entity/docid?timeout=1";
    let answer = target.send("GET", late, "").await;
    assert_eq!(answer.status, 504);
    says(&answer, "No buckets visited within timeout of 1ms (request timeout -5s)");
    has_keys(&answer, &["pathId", "message"]);
    let answer = target.send("GET", &format!("{late}&stream=true"), "").await;
    assert_eq!(answer.status, 200);
    says(&answer, "No buckets visited within timeout of 1ms (request timeout -5s)");
    let given = answer.json["continuation"].as_str().expect("a continuation").replace('=', "%3D");
    let again = target.send("GET", &format!("{late}&stream=true&continuation={given}"), "").await;
    assert_eq!(again.json["continuation"], answer.json["continuation"], "the one that was given");
}

/// The mocked cluster of the original takes any condition; a content cluster finds the document missing.
#[tokio::test]
async fn row_25_a_remove_with_a_route_and_a_condition() {
    let target = faulty(FaultRule::new(Fault::Overload).times(0)).await;
    let answer = target.send("DELETE", "/document/v1/NS/base_entity/docid/d0?route=default&condition=true", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    has_keys(&answer, &["pathId", "id"]);
}

#[tokio::test]
async fn rows_28_29_and_33_what_the_content_cluster_answers() {
    for (fault, status) in
        [(Fault::TimeoutInBackend, 504), (Fault::NoSpace, 507), (Fault::Rejected, 400), (Fault::InternalError, 500)]
    {
        let target = faulty(FaultRule::new(fault.clone())).await;
        let answer = target.send("POST", "/document/v1/NS/base_entity/docid/one", r#"{"fields":{"name":"x"}}"#).await;
        assert_eq!(answer.status, status, "{fault:?}");
        if fault == Fault::InternalError {
            says(&answer, "[FATAL_ERROR @ localhost]: FATAL_ERROR");
        } else {
            has_keys(&answer, &["pathId", "id", "message"]);
        }
    }
    let target = faulty(FaultRule::new(Fault::IgnoredOperation)).await;
    let answer = target.send("POST", "/document/v1/NS/base_entity/docid/one", r#"{"fields":{"name":"x"}}"#).await;
    assert_eq!((answer.status, answer.ignored_operation), (200, true));
    assert_eq!(target.send("GET", "/document/v1/NS/base_entity/docid/one", "").await.status, 404);
}

#[tokio::test]
async fn row_31_a_content_cluster_that_is_silent() {
    let options = VespaServerOptions { service_time: Duration::from_secs(60), ..VespaServerOptions::default() };
    let target = Target::server(options).await;
    let answer = target.send("GET", "/document/v1/NS/base_entity/docid/one?timeout=1ms", "").await;
    assert_eq!(answer.status, 504);
    says(&answer, "Timeout after 1ms");
    has_keys(&answer, &["pathId", "message"]);
}

#[tokio::test]
async fn row_32_a_queue_that_is_full() {
    let options = VespaServerOptions {
        service_time: Duration::from_millis(100),
        workers: 1,
        queue: QueueLimits { operations: 2, ..QueueLimits::default() },
        ..VespaServerOptions::default()
    };
    let target = Target::server(options).await;
    let put = |n: u32| {
        let target = &target;
        async move {
            let path = format!("/document/v1/NS/base_entity/docid/{n}");
            target.send("POST", &path, r#"{"fields":{"name":"x"}}"#).await
        }
    };
    let answers = futures::future::join_all((0..10).map(put)).await;
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 3, "one at work and two that wait");
    assert_eq!(refused.len(), 7);
    for answer in refused {
        says(answer, "Rejecting execution due to overload: 2 requests already enqueued");
        has_keys(answer, &["pathId", "message"]);
    }
}

#[tokio::test]
async fn row_34_a_document_that_is_too_large() {
    let options = VespaServerOptions { request_limit_bytes: 1 << 20, ..VespaServerOptions::default() };
    let target = Target::server(options).await;
    let body = format!(r#"{{"fields":{{"payload":"{}"}}}}"#, "x".repeat(2_000_000));
    let answer = target.send("POST", "/document/v1/NS/base_entity/docid/one", &body).await;
    assert_eq!(answer.status, 413);
    says(
        &answer,
        &format!("Document operation request size {} bytes exceeds maximum size of 1048576 bytes.", body.len()),
    );
}

#[tokio::test]
async fn row_44_selections_are_worked_off_piece_by_piece() {
    let target = Target::any().await;
    let put = |n: u32| {
        let target = &target;
        async move {
            let path = format!("/document/v1/NS/base_entity/docid/{n}");
            let answer = target.send("POST", &path, r#"{"fields":{"name":"x"}}"#).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
    };
    for batch in 0..35 {
        futures::future::join_all((batch * 100..batch * 100 + 100).map(put)).await;
    }
    let of = "/document/v1/NS/base_entity/docid?cluster=CLUSTER&timeout=175s";
    let counted =
        |answers: &[Answer]| answers.iter().filter_map(|answer| answer.json["documentCount"].as_u64()).sum::<u64>();
    let update = r#"{"fields":{"name":{"assign":"y"}}}"#;
    let (answers, _) = target.follow("PUT", &format!("{of}&selection=true"), update).await;
    assert_eq!(counted(&answers), 3_500);
    let copy = format!("{of}&selection=true&destinationCluster=CLUSTER");
    assert_eq!(counted(&target.follow("POST", &copy, "").await.0), 3_500);
    let (answers, documents) = target.follow("GET", &format!("{of}&wantedDocumentCount=500"), "").await;
    assert_eq!((counted(&answers), documents.len()), (3_500, 3_500));
    assert!(documents.iter().all(|document| document["fields"]["name"] == "y"));
    if target.own().is_some() {
        assert!(answers.iter().any(|answer| answer.json["documentCount"] == 0), "an empty page in between");
    }
    assert_eq!(counted(&target.follow("DELETE", &format!("{of}&selection=true"), "").await.0), 3_500);
    assert_eq!(counted(&target.follow("GET", of, "").await.0), 0);
}
