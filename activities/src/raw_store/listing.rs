//! Which entities there are.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use super::backend::Found;
use super::listed_object::ListedObject;
use super::store_path::StorePath;
use super::sync_store::SyncStore;
use crate::error::Result;

/// A stream of entities in no particular order, in constant memory.
///
/// It is whole when it ends without an error; an error is its last item. Whoever deletes by absence has to reach
/// that end. An object that was deleted while the listing ran is not listed; one that was written meanwhile may or
/// may not be.
///
/// Entities are the objects of `entities/` whose names end with `.json`; names may begin with a dot. Anything else
/// there (temporary files, subdirectories, directory markers) is left out and counted in [`Listing::ignored`].
pub struct Listing {
    found: BoxStream<'static, Result<Found>>,
    ignored: u64,
}

impl Listing {
    /// How many things in the directory are no entities, of those seen so far.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.ignored
    }
}

impl SyncStore {
    /// Lists the entities. Nothing happens until the stream is polled.
    ///
    /// # Errors
    ///
    /// As items: `NotFound` or `RawStoreInvalid` when nothing is there and no manifest proves that to be right,
    /// otherwise whatever the store answered.
    #[must_use]
    pub fn list(&self) -> Listing {
        let store = self.clone();
        let inner = self.backend.list(&StorePath::entities(self.sync_id));
        let found = stream::try_unfold((inner, store, true), |(mut inner, store, empty)| async move {
            match inner.try_next().await? {
                Some(found) => Ok(Some((found, (inner, store, false)))),
                None if empty => store.prove_present().await.map(|()| None),
                None => Ok(None),
            }
        });
        Listing { found: found.boxed(), ignored: 0 }
    }
}

impl Stream for Listing {
    type Item = Result<ListedObject>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.found.poll_next_unpin(cx)) {
                Some(Ok(Found::Object(object))) if object.key.ends_with(".json") => {
                    return Poll::Ready(Some(Ok(object)));
                }
                Some(Ok(Found::Object(_) | Found::Other)) => self.ignored += 1,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing").field("ignored", &self.ignored).finish_non_exhaustive()
    }
}
