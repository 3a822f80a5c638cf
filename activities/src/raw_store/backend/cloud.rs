//! A raw store in a bucket or container.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{Backend, FetchError, Fetched, Found};
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::classify::{is_other_version, object_error, timed_out};
use crate::raw_store::listed_object::ListedObject;
use crate::raw_store::store_path::StorePath;

/// Longest wait for the head of an answer, for the next piece of a body and for the next page of a listing. Covers
/// the retries of [`super::connect`].
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Objects whose names begin with a prefix.
#[derive(Debug)]
pub(in crate::raw_store) struct CloudBackend {
    objects: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
}

impl CloudBackend {
    /// The store whose `raw/` comes after `prefix`.
    pub(in crate::raw_store) fn new(objects: Arc<dyn ObjectStore>, prefix: ObjectPath) -> Self {
        Self { objects, prefix }
    }

    fn locate(&self, path: &StorePath) -> Result<ObjectPath, FetchError> {
        let name = match self.prefix.as_ref() {
            "" => path.whole(),
            prefix => format!("{prefix}/{}", path.whole()),
        };
        ObjectPath::parse(name)
            .map_err(|_| FetchError::Refused("the object store client does not take control characters".to_owned()))
    }
}

#[async_trait]
impl Backend for CloudBackend {
    async fn read(&self, path: &StorePath, limit_bytes: u64) -> Result<Fetched, FetchError> {
        let doing = format!("read {:?}", path.whole());
        let location = self.locate(path)?;
        let answer = match within(&doing, self.objects.get(&location)).await? {
            Err(object_store::Error::NotFound { .. }) => return Err(FetchError::NotFound),
            other => other.map_err(|error| object_error(&doing, error))?,
        };
        let (token, size_bytes) = (token(&answer.meta), answer.meta.size);
        if size_bytes > limit_bytes {
            return Err(FetchError::TooLarge { token, size_bytes });
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(size_bytes).unwrap_or_default());
        let mut body = answer.into_stream();
        while let Some(piece) = within(&doing, body.next()).await? {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) if is_other_version(&error) => return Err(FetchError::Changing),
                Err(error) => return Err(object_error(&doing, error).into()),
            }
            if bytes.len() as u64 > size_bytes {
                break;
            }
        }
        if bytes.len() as u64 != size_bytes {
            let text = format!("cannot {doing}: the store announced {size_bytes} bytes and sent {}", bytes.len());
            return Err(Error::new(ErrorKind::Unavailable, text).into());
        }
        Ok(Fetched { bytes: bytes.freeze(), token })
    }

    async fn exists(&self, path: &StorePath) -> Result<bool> {
        let doing = format!("look for {:?}", path.whole());
        let location = match self.locate(path) {
            Ok(location) => location,
            Err(_) => return Err(Error::new(ErrorKind::InvalidInput, format!("cannot {doing}: it is no object name"))),
        };
        match within(&doing, self.objects.head(&location)).await? {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(object_error(&doing, error)),
        }
    }

    fn list(&self, directory: &StorePath) -> BoxStream<'static, Result<Found>> {
        let doing = format!("list {}", directory.whole());
        let Ok(location) = self.locate(directory) else {
            let error = Error::new(ErrorKind::InvalidInput, format!("cannot {doing}: it is no object name"));
            return stream::once(async { Err(error) }).boxed();
        };
        let pages = self.objects.list(Some(&location));
        let below = format!("{location}/");
        stream::try_unfold((pages, doing, below), |(mut pages, doing, below)| async move {
            match within(&doing, pages.try_next()).await?.map_err(|error| object_error(&doing, error))? {
                None => Ok(None),
                Some(meta) => Ok(Some((found(&meta, &below), (pages, doing, below)))),
            }
        })
        .boxed()
    }
}

fn found(meta: &ObjectMeta, below: &str) -> Found {
    match meta.location.as_ref().strip_prefix(below) {
        Some(key) if !key.contains('/') => Found::Object(ListedObject {
            key: key.to_owned(),
            size: meta.size,
            token: token(meta),
            modified_ms: meta.last_modified.timestamp_millis(),
        }),
        // Deeper down, or the marker of the directory itself.
        _ => Found::Other,
    }
}

/// The ETag; without one, the size and the modification time to the second.
///
/// Azure quotes an ETag in answers but not in listings, and proxies may mark one as weak; the time of a listing is
/// finer than that of an answer. What is left is the same in both.
fn token(meta: &ObjectMeta) -> String {
    match &meta.e_tag {
        Some(e_tag) => e_tag.trim_start_matches("W/").trim_matches('"').to_owned(),
        None => format!("{}-{}", meta.size, meta.last_modified.timestamp()),
    }
}

async fn within<T>(doing: &str, work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(STEP_TIMEOUT, work).await.map_err(|_| timed_out(doing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Some("\"0x8D\""), Some("0x8D"))]
    #[case(Some("W/\"abc-2\""), Some("abc-2"))]
    #[case(None, None)]
    fn the_token_of_an_answer_is_that_of_the_listing(#[case] answered: Option<&str>, #[case] listed: Option<&str>) {
        let meta = |e_tag: Option<&str>, millis: i64| ObjectMeta {
            location: ObjectPath::from("x"),
            last_modified: chrono::DateTime::from_timestamp_millis(millis).unwrap(),
            size: 3,
            e_tag: e_tag.map(str::to_owned),
            version: None,
        };
        assert_eq!(token(&meta(answered, 1_700_000_000_000)), token(&meta(listed, 1_700_000_000_789)));
    }
}
