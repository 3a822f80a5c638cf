//! Backends that answer from a script: torn files, files that vanish or change, listings that break off.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};

use super::stores::{SYNC, quick};
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::backend::{Backend, FetchError, Fetched, Found};
use crate::raw_store::store_path::StorePath;
use crate::raw_store::{ListedObject, RawStore, ReadError, SyncStore};

#[derive(Debug, Default)]
struct Scripted {
    reads: Mutex<VecDeque<Result<Fetched, FetchError>>>,
    listing: Mutex<Vec<Result<Found>>>,
    no_manifest: bool,
}

#[async_trait]
impl Backend for Scripted {
    async fn read(&self, path: &StorePath, _limit_bytes: u64) -> Result<Fetched, FetchError> {
        self.reads.lock().unwrap().pop_front().unwrap_or_else(|| panic!("one read too many of {path:?}"))
    }

    async fn exists(&self, _path: &StorePath) -> Result<bool> {
        Ok(!self.no_manifest)
    }

    fn list(&self, _directory: &StorePath) -> BoxStream<'static, Result<Found>> {
        stream::iter(std::mem::take(&mut *self.listing.lock().unwrap())).boxed()
    }
}

impl Scripted {
    fn reading(reads: impl IntoIterator<Item = Result<Fetched, FetchError>>) -> Arc<Self> {
        Arc::new(Self { reads: Mutex::new(reads.into_iter().collect()), ..Self::default() })
    }
}

fn store(backend: &Arc<Scripted>) -> SyncStore {
    RawStore::over(Arc::clone(backend) as Arc<dyn Backend>, "script", quick()).sync(SYNC)
}

fn version(token: &str, text: &'static str) -> Result<Fetched, FetchError> {
    Ok(Fetched { bytes: text.into(), token: token.to_owned() })
}

fn object(key: &str) -> Result<Found> {
    Ok(Found::Object(ListedObject { key: key.to_owned(), size: 2, token: "1".to_owned(), modified_ms: 0 }))
}

#[tokio::test]
async fn a_torn_file_is_read_again_until_it_decodes() {
    let backend =
        Scripted::reading([version("1", ""), Err(FetchError::Changing), version("2", "{\"a"), version("3", "{}")]);
    assert_eq!(store(&backend).read_entity("a.json").await.unwrap().token, "3");
}

#[tokio::test]
async fn bad_to_the_end_with_one_token_is_undecodable() {
    let backend = Scripted::reading([version("1", ""), version("2", "{"), version("2", "{"), version("2", "{")]);
    let error = store(&backend).read_entity("a.json").await.unwrap_err();
    assert!(matches!(&error, ReadError::Undecodable { token, .. } if token == "2"), "{error:?}");
    assert!(backend.reads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bad_with_a_changing_token_is_retried_later() {
    let scripts: [[Result<Fetched, FetchError>; 4]; 3] = [
        [version("1", "{"), version("1", "{"), version("1", "{"), version("2", "{")],
        [version("1", "{"), version("1", "{"), version("1", "{"), Err(FetchError::Changing)],
        [version("1", "{"), version("1", "{"), Err(FetchError::Changing), version("1", "{")],
    ];
    for script in scripts {
        let error = store(&Scripted::reading(script)).read_entity("a.json").await.unwrap_err();
        assert!(!error.is_about_the_object() && error.kind() == ErrorKind::Unavailable, "{error:?}");
    }
}

#[tokio::test]
async fn a_torn_file_may_vanish() {
    let backend = Scripted::reading([version("1", "{"), Err(FetchError::NotFound)]);
    assert!(matches!(store(&backend).read_entity("a.json").await.unwrap_err(), ReadError::Vanished { .. }));
}

#[tokio::test]
async fn nothing_vanishes_from_a_store_that_is_gone() {
    let reads = Mutex::new([Err(FetchError::NotFound)].into());
    let backend = Arc::new(Scripted { reads, no_manifest: true, ..Scripted::default() });
    let error = store(&backend).read_entity("a.json").await.unwrap_err();
    assert!(!error.is_about_the_object() && error.kind() == ErrorKind::NotFound, "{error:?}");
}

#[tokio::test]
async fn a_failing_store_is_no_fact_about_an_object() {
    let failure = Error::new(ErrorKind::Timeout, "too slow");
    let backend = Scripted::reading([Err(FetchError::Failed(failure))]);
    let error = store(&backend).read_entity("a.json").await.unwrap_err();
    assert!(!error.is_about_the_object() && error.kind() == ErrorKind::Timeout, "{error:?}");
}

#[tokio::test]
async fn a_listing_that_breaks_off_ends_with_the_error() {
    let broken = Error::new(ErrorKind::Unavailable, "reset");
    // What comes after the error must never be seen.
    let listing = Mutex::new(vec![object("a.json"), object("b.json"), Err(broken), object("c.json")]);
    let backend = Arc::new(Scripted { listing, ..Scripted::default() });

    let items: Vec<_> = store(&backend).list().collect().await;

    assert_eq!(items.len(), 3);
    assert_eq!(items[1].as_ref().unwrap().key, "b.json");
    assert_eq!(items[2].as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
}
