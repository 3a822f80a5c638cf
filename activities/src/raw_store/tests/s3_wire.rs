//! The real S3 client against a server that answers what a test wants, over a real socket.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, RetryConfig};
use rstest::rstest;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::stores::{SYNC, quick};
use crate::error::ErrorKind;
use crate::json::Value;
use crate::raw_store::backend::connect;
use crate::raw_store::{RawStore, ReadError, SyncStore};

/// What to answer to the head of a request, which begins like `GET /bucket/key HTTP/1.1`: bytes of HTTP.
type Answers = fn(&str) -> String;

async fn serve(answers: Answers) -> SyncStore {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer_one(socket, answers));
        }
    });
    let builder = AmazonS3Builder::new()
        .with_region("eu-central-1")
        .with_access_key_id("id")
        .with_secret_access_key("secret")
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(1),
                max_backoff: Duration::from_millis(2),
                base: 2.0,
            },
            max_retries: 2,
            retry_timeout: Duration::from_secs(10),
        });
    let objects = connect::s3_client(builder, "bucket", Some(endpoint)).unwrap();
    RawStore::over_objects(objects, ObjectPath::from("p"), "s3://bucket/p", quick()).sync(SYNC)
}

async fn answer_one(mut socket: TcpStream, answers: Answers) {
    let (read, mut write) = socket.split();
    let mut lines = BufReader::new(read).lines();
    let mut request = String::new();
    while let Some(line) = lines.next_line().await.unwrap_or_default().filter(|line| !line.is_empty()) {
        request.push_str(&line);
        request.push('\n');
    }
    // The client may have hung up already: then there is nobody to tell.
    let _ = write.write_all(answers(&request).as_bytes()).await;
    let _ = write.shutdown().await;
}

fn answer(status: &str, body: &str) -> String {
    answer_announcing(status, body, body.len())
}

fn answer_announcing(status: &str, body: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: \"tag\"\r\nLast-Modified: Wed, 07 Jan 2026 09:00:00 GMT\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn page(names: &[&str], next: Option<&str>) -> String {
    let mut xml = String::from("<ListBucketResult>");
    for name in names {
        write!(
            xml,
            "<Contents><Key>p/raw/{SYNC}/entities/{name}</Key><Size>2</Size><ETag>&quot;tag&quot;</ETag>\
             <LastModified>2026-01-07T09:00:00.123Z</LastModified></Contents>"
        )
        .unwrap();
    }
    if let Some(token) = next {
        write!(xml, "<NextContinuationToken>{token}</NextContinuationToken>").unwrap();
    }
    xml.push_str("</ListBucketResult>");
    answer("200 OK", &xml)
}

fn is_second_page(request: &str) -> bool {
    request.contains("continuation-token=more")
}

/// A good first page, and `second` for the next.
fn then(request: &str, second: &str) -> String {
    if is_second_page(request) { second.to_owned() } else { page(&["a.json"], Some("more")) }
}

#[tokio::test]
async fn pages_are_joined_and_names_survive_the_wire() {
    let sync = serve(|request| match request {
        list if list.contains("list-type=2") => {
            assert!(list.contains(&format!("prefix=p%2Fraw%2F{SYNC}%2Fentities%2F")), "{list}");
            if is_second_page(list) {
                page(&["a%20b.json", "...json"], None)
            } else {
                page(&["", "a+b c&amp;d.json", "ключ.json"], Some("more"))
            }
        }
        read => answer("200 OK", &format!("{{\"r\": \"{}\"}}", read.split(' ').nth(1).unwrap())),
    })
    .await;
    let mut listing = sync.list();
    let mut keys = Vec::new();
    while let Some(object) = listing.next().await {
        keys.push(object.unwrap());
    }
    assert_eq!(listing.ignored(), 1, "the directory marker");
    let names: Vec<_> = keys.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(names, ["a+b c&d.json", "ключ.json", "a%20b.json", "...json"]);

    let paths = ["a%2Bb%20c%26d.json", "%D0%BA%D0%BB%D1%8E%D1%87.json", "a%2520b.json", "...json"];
    for (object, path) in keys.iter().zip(paths) {
        let entity = sync.read_entity(&object.key).await.unwrap();
        assert_eq!(entity.token, object.token);
        let asked = entity.value.get("r").and_then(Value::as_str).unwrap();
        assert_eq!(asked, format!("/bucket/p/raw/{SYNC}/entities/{path}"));
    }
}

#[rstest]
#[case::denied(|request: &str| then(request, &answer("403 Forbidden", "")), ErrorKind::RawStoreInvalid)]
#[case::broken(|request: &str| then(request, &answer("500 Internal Server Error", "")), ErrorKind::Unavailable)]
#[case::cut(|request: &str| then(request, &answer_announcing("200 OK", "<ListBucketResult>", 999)), ErrorKind::Unavailable)]
#[case::garbled(|request: &str| then(request, &answer("200 OK", "<html>")), ErrorKind::Internal)]
#[case::control_characters(|request: &str| then(request, &page(&["a&#10;b.json"], None)), ErrorKind::RawStoreInvalid)]
#[tokio::test]
async fn a_page_that_fails_fails_the_listing(#[case] answers: Answers, #[case] kind: ErrorKind) {
    let items: Vec<_> = serve(answers).await.list().collect().await;
    assert_eq!(items.len(), 2, "{items:?}");
    assert_eq!(items[0].as_ref().unwrap().key, "a.json");
    let error = items[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), kind, "{}", error.chain());
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_no_empty_store() {
    let sync = serve(|_| answer("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>")).await;
    let items: Vec<_> = sync.list().collect().await;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].as_ref().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(sync.manifest().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!sync.read_entity("a.json").await.unwrap_err().is_about_the_object());
}

#[rstest]
#[case::denied(|_: &str| answer("403 Forbidden", ""), ErrorKind::RawStoreInvalid)]
#[case::throttled(|_: &str| answer("429 Too Many Requests", ""), ErrorKind::RateLimited)]
#[case::down(|_: &str| answer("503 Service Unavailable", ""), ErrorKind::Unavailable)]
#[case::slow_down(|_: &str| answer("503 Slow Down", "<Error><Code>SlowDown</Code></Error>"), ErrorKind::RateLimited)]
#[case::cut(|request: &str| if resumes(request) { String::new() } else { cut() }, ErrorKind::Unavailable)]
#[case::silent(|_: &str| String::new(), ErrorKind::Unavailable)]
#[tokio::test]
async fn a_failed_read_says_nothing_about_the_entity(#[case] answers: Answers, #[case] kind: ErrorKind) {
    match serve(answers).await.read_entity("a.json").await.unwrap_err() {
        ReadError::Failed(error) => assert_eq!(error.kind(), kind, "{}", error.chain()),
        other => panic!("{other:?}"),
    }
}

/// The client goes on where a body broke off.
fn resumes(request: &str) -> bool {
    request.contains("range: bytes=3-")
}

/// The first three of the nine bytes of `{"a": 12}`.
fn cut() -> String {
    answer_announcing("200 OK", "{\"a", 9)
}

#[tokio::test]
async fn a_body_that_breaks_off_is_continued() {
    let sync = serve(|request| match resumes(request) {
        true => answer("206 Partial Content\r\nContent-Range: bytes 3-8/9", "\": 12}"),
        false => cut(),
    })
    .await;
    let entity = sync.read_entity("a.json").await.unwrap();
    assert_eq!((entity.value.get("a").and_then(Value::as_i64), entity.bytes), (Some(12), 9));
}

#[tokio::test]
async fn halves_of_two_versions_are_never_joined() {
    let sync = serve(|request| match resumes(request) {
        true => answer("412 Precondition Failed", ""),
        false => cut(),
    })
    .await;
    let error = sync.read_entity("a.json").await.unwrap_err();
    assert!(!error.is_about_the_object() && error.kind() == ErrorKind::Unavailable, "{error:?}");
}

#[tokio::test]
async fn secrets_stay_out_of_errors() {
    let sync = serve(|_| answer("403 Forbidden", "")).await;
    let error: crate::error::Error = sync.read_entity("a.json").await.unwrap_err().into();
    assert!(!error.chain().contains("secret"), "{}", error.chain());
    assert!(!format!("{:?} {sync:?}", Arc::new(&error)).contains("secret"));
}
