//! A bounded set of things in flight, polled in the order they were put in.
//!
//! The SDK offers `select!` and `join!` for fixed sets only, and refuses `FuturesUnordered` as nondeterministic,
//! because it wakes itself. Polling a vector in insertion order decides the same way on every replay of a history.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::{FusedFuture, LocalBoxFuture};

/// Futures in flight, each with the key it was started under.
pub(crate) struct Window<'f, K, O> {
    items: Vec<(K, LocalBoxFuture<'f, O>)>,
}

impl<'f, K: Copy + Unpin, O> Window<'f, K, O> {
    pub(crate) fn new() -> Self {
        Self { items: Vec::new() }
    }

    pub(crate) fn push(&mut self, key: K, future: impl Future<Output = O> + 'f) {
        self.items.push((key, Box::pin(future)));
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Waits for the next one that is done; of several, the one put in first. Pending for ever when empty.
    pub(crate) fn next(&mut self) -> Next<'_, 'f, K, O> {
        Next { window: self, done: false }
    }
}

/// Future of [`Window::next`].
pub(crate) struct Next<'w, 'f, K, O> {
    window: &'w mut Window<'f, K, O>,
    done: bool,
}

impl<K: Copy + Unpin, O> Future for Next<'_, '_, K, O> {
    type Output = (K, O);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        for position in 0..this.window.items.len() {
            if let Poll::Ready(output) = this.window.items[position].1.as_mut().poll(context) {
                let (key, _) = this.window.items.remove(position);
                this.done = true;
                return Poll::Ready((key, output));
            }
        }
        Poll::Pending
    }
}

impl<K: Copy + Unpin, O> FusedFuture for Next<'_, '_, K, O> {
    fn is_terminated(&self) -> bool {
        self.done || self.window.items.is_empty()
    }
}
