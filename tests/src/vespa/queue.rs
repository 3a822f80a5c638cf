//! The queue of a container: bounded, so that a client that pushes too hard sees 429 for a real reason.
//!
//! Operations wait for one of a few workers; each worker is busy for the service time. An operation is refused when too
//! many wait, when the oldest has waited too long, or when too many bytes wait. One operation alone is never too large.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::reply::Refusal;

/// When operations are refused.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Operations that may wait.
    pub operations: usize,
    /// How much longer than the newest the oldest may have waited.
    pub age: Duration,
    /// Bytes of the operations that wait.
    pub bytes: usize,
}

impl Default for QueueLimits {
    /// Vespa's: 256 operations, 3 s, a quarter of a heap of 1.5 GiB.
    fn default() -> Self {
        Self { operations: 256, age: Duration::from_secs(3), bytes: 384 << 20 }
    }
}

/// The queue and its workers.
#[derive(Debug)]
pub struct Queue {
    limits: QueueLimits,
    workers: Semaphore,
    service_time_us: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    bytes: usize,
    operations: VecDeque<(u64, Instant, usize)>,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: QueueLimits, workers: usize, service_time: Duration) -> Self {
        let queue = Self {
            limits,
            workers: Semaphore::new(workers),
            service_time_us: AtomicU64::new(0),
            waiting: Mutex::default(),
        };
        queue.set_service_time(service_time);
        queue
    }

    /// How long a worker is busy with one operation, from now on.
    pub fn set_service_time(&self, time: Duration) {
        self.service_time_us.store(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits for a worker and for its work; the operation takes effect when this returns.
    ///
    /// # Errors
    /// 429 when the queue is full, 504 when `timeout` passes first.
    pub async fn serve(&self, bytes: usize, timeout: Duration) -> Result<(), Refusal> {
        let place = self.enter(bytes)?;
        let work = async {
            let worker: Result<SemaphorePermit<'_>, _> = self.workers.acquire().await;
            drop(place);
            let _worker = worker.expect("the semaphore is never closed");
            let time = Duration::from_micros(self.service_time_us.load(Ordering::Relaxed));
            if !time.is_zero() {
                tokio::time::sleep(time).await;
            }
        };
        tokio::time::timeout(timeout, work).await.map_err(|_| timed_out(timeout))
    }

    fn enter(&self, bytes: usize) -> Result<Place<'_>, Refusal> {
        let mut waiting = self.waiting.lock().expect("no holder panics");
        let overload =
            |what: String| Err(Refusal::handler(429, format!("Rejecting execution due to overload: {what}")));
        if waiting.operations.len() >= self.limits.operations {
            return overload(format!("{} requests already enqueued", waiting.operations.len()));
        }
        if let Some((_, since, _)) = waiting.operations.front()
            && since.elapsed() > self.limits.age
        {
            return overload(format!("{:.1} seconds worth of work enqueued", self.limits.age.as_secs_f64()));
        }
        if !waiting.operations.is_empty() && waiting.bytes + bytes > self.limits.bytes {
            return overload(format!("estimated size of operation is {bytes} bytes, {} are enqueued", waiting.bytes));
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.bytes += bytes;
        waiting.operations.push_back((number, Instant::now(), bytes));
        Ok(Place { queue: self, number })
    }
}

/// 504 of the container: nothing came back in time, and the document is not named.
#[must_use]
pub fn timed_out(timeout: Duration) -> Refusal {
    Refusal::handler(504, format!("Timeout after {}ms", timeout.as_millis()))
}

/// A place in the queue, given up when the client goes away.
#[derive(Debug)]
struct Place<'a> {
    queue: &'a Queue,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting.lock().expect("no holder panics");
        let at = waiting.operations.iter().position(|(number, ..)| *number == self.number);
        if let Some((_, _, bytes)) = at.and_then(|at| waiting.operations.remove(at)) {
            waiting.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::join_all;

    use super::*;

    /// Counts the refusals of `pushed` operations at once on a virtual clock.
    async fn refusals(queue: Queue, pushed: usize, bytes: usize) -> usize {
        let queue = Arc::new(queue);
        let served = (0..pushed).map(|_| queue.serve(bytes, Duration::from_secs(60)));
        join_all(served).await.into_iter().filter(Result::is_err).count()
    }

    fn limits() -> QueueLimits {
        QueueLimits::default()
    }

    #[tokio::test(start_paused = true)]
    async fn what_exceeds_workers_and_queue_is_refused() {
        let queue = |limits| Queue::new(limits, 4, Duration::from_millis(5));
        assert_eq!(refusals(queue(limits()), 260, 10).await, 0);
        assert_eq!(refusals(queue(limits()), 300, 10).await, 40);
        assert_eq!(refusals(queue(QueueLimits { bytes: 100, ..limits() }), 20, 10).await, 6);
        assert_eq!(refusals(queue(QueueLimits { bytes: 5, ..limits() }), 5, 10).await, 0, "one alone is let through");
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_queue_takes_nothing_new() {
        let queue = Arc::new(Queue::new(limits(), 1, Duration::from_secs(4)));
        let serve = |queue: Arc<Queue>| tokio::spawn(async move { queue.serve(1, Duration::from_secs(60)).await });
        let early = [serve(queue.clone()), serve(queue.clone())];
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        let late = queue.serve(1, Duration::from_secs(60)).await.expect_err("the second waits for 3.5 s");
        assert!(late.message().contains("3.0 seconds worth of work enqueued"), "{late:?}");
        for served in join_all(early).await {
            served.expect("no panic").expect("they were there first");
        }
        queue.serve(1, Duration::from_secs(60)).await.expect("the queue is empty again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_gets_504_and_leaves_its_place() {
        let queue = Queue::new(QueueLimits { operations: 1, ..limits() }, 1, Duration::from_secs(10));
        let (first, second) =
            tokio::join!(queue.serve(1, Duration::from_secs(60)), queue.serve(1, Duration::from_millis(7)),);
        first.expect("there was a worker");
        assert_eq!(second.expect_err("none was left").message(), "Timeout after 7ms");
        queue.serve(1, Duration::from_secs(60)).await.expect("the place is free");
    }
}
