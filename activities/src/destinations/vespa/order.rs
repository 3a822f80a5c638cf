//! One write at a time to a document, in the order they were asked for.
//!
//! Vespa may carry out two writes to one document in either order when both are under way. A write that is repeated keeps
//! its turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Turns by document id, for documents that are being written.
#[derive(Debug, Default)]
pub(super) struct DocumentOrder {
    turns: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

/// A document's turn, over when dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    order: &'a DocumentOrder,
    id: &'a str,
    held: Option<OwnedMutexGuard<()>>,
}

impl DocumentOrder {
    /// Waits until nobody else writes the document.
    pub(super) async fn turn<'a>(&'a self, id: &'a str) -> Turn<'a> {
        let lock = Arc::clone(self.lock().entry(id.to_owned()).or_default());
        // Whoever is dropped while waiting cleans up as well.
        let mut turn = Turn { order: self, id, held: None };
        turn.held = Some(lock.lock_owned().await);
        turn
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<AsyncMutex<()>>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut turns = self.order.lock();
        // Only the map's own: nobody holds it and nobody waits. New ones need the map.
        if turns.get(self.id).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            turns.remove(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_in_order_and_others_do_not_wait() {
        let order = DocumentOrder::default();
        let first = order.turn("a").await;
        assert!(order.turn("b").now_or_never().is_some(), "another document");
        let mut second = Box::pin(order.turn("a"));
        assert!(second.as_mut().now_or_never().is_none());
        let mut third = Box::pin(order.turn("a"));
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.as_mut().now_or_never().is_none(), "not before the second");
        let second = second.await;
        drop(second);
        drop(third.await);
        assert!(order.lock().is_empty(), "nothing is kept of documents nobody writes");
    }

    #[tokio::test]
    async fn whoever_stops_waiting_leaves_nothing_behind() {
        let order = DocumentOrder::default();
        let first = order.turn("a").await;
        let mut waiting = Box::pin(order.turn("a"));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        drop(waiting);
        assert!(order.lock().is_empty());
    }
}
