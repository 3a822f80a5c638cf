//! The end of a load: bulk load is left, and nothing that was written is pending any more.

use std::time::Duration;

use qdrant_client::qdrant::{CollectionInfo, CollectionStatus, OptimizersConfigDiff};
use tokio::time::{Instant, sleep};

use super::schema::INDEXING_THRESHOLD;
use super::service::Qdrant;
use crate::error::{Error, ErrorKind, Result};

/// How long one call waits. The caller asks again, and work goes on in between.
const PATIENCE: Duration = Duration::from_secs(600);

const FIRST_DELAY: Duration = Duration::from_millis(50);
const MAX_DELAY: Duration = Duration::from_secs(2);

/// How far a collection is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Everything is indexed, applied and visible.
    Settled,
    /// Something is under way, in words.
    Pending(String),
    /// The optimiser waits to be started, as it does after a restart of the server.
    Dormant,
    /// It will not end well by itself, in words.
    Broken(String),
}

impl Qdrant {
    /// Leaves bulk load and waits until the collection is settled.
    ///
    /// An own collection whose indexing is off is taken to be in bulk load, whoever made it: also one that another slot
    /// is loading, or had begun to load when it was given up. Its points are indexed from here on.
    ///
    /// A collection that others write to as well has to be settled for a moment only. What was written before this call
    /// is so from then on.
    pub(super) async fn settle(&self) -> Result<()> {
        let collection = self.settings.collection();
        let mut info = self.info().await?;
        if self.settings.own && loads_in_bulk(&info) {
            let indexing = OptimizersConfigDiff {
                indexing_threshold: Some(INDEXING_THRESHOLD),
                ..OptimizersConfigDiff::default()
            };
            self.wire.configure_optimizer(collection, indexing).await?;
            info = self.info().await?;
        }
        let (deadline, mut delay, mut started) = (Instant::now() + PATIENCE, FIRST_DELAY, false);
        loop {
            let pending = match state(&info) {
                State::Settled => return Ok(()),
                State::Broken(problem) => {
                    let problem = format!("the collection {collection} does not get ready: {problem}");
                    return Err(Error::new(ErrorKind::Unavailable, problem));
                }
                State::Dormant if !started => {
                    self.wire.configure_optimizer(collection, OptimizersConfigDiff::default()).await?;
                    started = true;
                    "its optimiser was started".to_owned()
                }
                State::Dormant => "its optimiser waits to be started".to_owned(),
                State::Pending(what) => what,
            };
            if Instant::now() + delay > deadline {
                let problem =
                    format!("the collection {collection} is not ready after {} s: {pending}", PATIENCE.as_secs());
                return Err(Error::new(ErrorKind::Timeout, problem));
            }
            sleep(delay).await;
            delay = (delay * 2).min(MAX_DELAY);
            info = self.info().await?;
        }
    }

    async fn info(&self) -> Result<CollectionInfo> {
        let collection = self.settings.collection();
        self.wire.collection(collection).await?.ok_or_else(|| {
            let problem =
                format!("Qdrant has no collection {collection}; the slot was never prepared, or it was removed");
            Error::new(ErrorKind::NotFound, problem)
        })
    }
}

fn loads_in_bulk(info: &CollectionInfo) -> bool {
    let optimizer = info.config.as_ref().and_then(|config| config.optimizer_config.as_ref());
    optimizer.and_then(|optimizer| optimizer.indexing_threshold) == Some(0)
}

fn state(info: &CollectionInfo) -> State {
    if let Some(optimizer) = info.optimizer_status.as_ref().filter(|optimizer| !optimizer.ok) {
        let words: String = optimizer.error.chars().take(200).collect();
        return State::Broken(format!("its optimiser failed: {words}"));
    }
    let queue = info.update_queue.unwrap_or_default();
    let deferred = queue.deferred_points.unwrap_or(0);
    match info.status() {
        CollectionStatus::Red => State::Broken("its status is red; see the server's log".to_owned()),
        CollectionStatus::UnknownCollectionStatus => State::Broken("its status is none that is known".to_owned()),
        CollectionStatus::Yellow => State::Pending("it is being optimised".to_owned()),
        CollectionStatus::Green | CollectionStatus::Grey if queue.length > 0 => {
            State::Pending(format!("{} updates wait", queue.length))
        }
        CollectionStatus::Grey => State::Dormant,
        CollectionStatus::Green if deferred > 0 => State::Pending(format!("{deferred} points are not visible yet")),
        CollectionStatus::Green => State::Settled,
    }
}

#[cfg(test)]
mod tests {
    use qdrant_client::qdrant::{CollectionConfig, OptimizerStatus, UpdateQueueInfo};
    use rstest::rstest;

    use super::*;

    fn info(status: CollectionStatus, length: u64, deferred_points: Option<u64>) -> CollectionInfo {
        CollectionInfo {
            status: status.into(),
            optimizer_status: Some(OptimizerStatus { ok: true, error: String::new() }),
            update_queue: Some(UpdateQueueInfo { length, deferred_points }),
            ..CollectionInfo::default()
        }
    }

    fn pending(what: &str) -> State {
        State::Pending(what.to_owned())
    }

    #[rstest]
    #[case::green(info(CollectionStatus::Green, 0, None), State::Settled)]
    #[case::none_deferred(info(CollectionStatus::Green, 0, Some(0)), State::Settled)]
    #[case::deferred(info(CollectionStatus::Green, 0, Some(12_000)), pending("12000 points are not visible yet"))]
    #[case::queued(info(CollectionStatus::Green, 3, None), pending("3 updates wait"))]
    #[case::yellow(info(CollectionStatus::Yellow, 0, None), pending("it is being optimised"))]
    #[case::grey(info(CollectionStatus::Grey, 0, None), State::Dormant)]
    #[case::grey_and_queued(info(CollectionStatus::Grey, 1, None), pending("1 updates wait"))]
    fn only_green_with_nothing_pending_is_settled(#[case] info: CollectionInfo, #[case] expected: State) {
        assert_eq!(state(&info), expected);
    }

    #[test]
    fn an_older_server_says_nothing_of_its_queue() {
        let info = CollectionInfo { update_queue: None, ..info(CollectionStatus::Green, 0, None) };
        assert_eq!(state(&info), State::Settled);
    }

    #[test]
    fn what_will_not_end_well_is_said() {
        let failed = OptimizerStatus { ok: false, error: "disk gone".into() };
        for (info, words) in [
            (info(CollectionStatus::Red, 0, None), "red"),
            (info(CollectionStatus::UnknownCollectionStatus, 0, None), "none that is known"),
            (CollectionInfo { optimizer_status: Some(failed), ..info(CollectionStatus::Green, 0, None) }, "disk gone"),
        ] {
            let State::Broken(problem) = state(&info) else { panic!("broken: {info:?}") };
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn bulk_load_is_known_by_its_threshold() {
        let with = |indexing_threshold| CollectionInfo {
            config: Some(CollectionConfig {
                optimizer_config: Some(OptimizersConfigDiff { indexing_threshold, ..OptimizersConfigDiff::default() }),
                ..CollectionConfig::default()
            }),
            ..CollectionInfo::default()
        };
        assert!(loads_in_bulk(&with(Some(0))));
        assert!(!loads_in_bulk(&with(Some(20_000))) && !loads_in_bulk(&with(None)));
    }
}
