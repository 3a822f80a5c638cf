//! Faults that a test scripts: what a real server does by bad luck, on demand.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::journal::Method;
use super::store::PointKey;

/// One thing that goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Only for upsert and delete: OK with `WaitTimeout`. The operation is in the queue: the next look at the collection
    /// shows it there, and the one after that, or the next write, finds it applied.
    WaitTimeout,
    /// `ResourceExhausted` with `retry-after`: whole seconds.
    RateLimited(u32),
    /// `ResourceExhausted` without `retry-after`: the request can never fit and must be split.
    TooLarge,
    /// `ResourceExhausted` with `qdrant-insufficient-storage: 1`: a quota of the node is reached.
    OutOfStorage,
    /// This status, and nothing is applied.
    Refused(Code),
    /// Applied, but answered with `Unavailable`, as when the connection breaks before the answer arrives.
    AnswerLost,
    /// Nothing is applied, and there is never an answer.
    Hang,
    /// Applied, and there is never an answer.
    Silence,
}

impl Fault {
    /// The answer when the request is refused before anything is done.
    pub(super) fn refusal(&self) -> Option<Status> {
        Some(match self {
            Self::RateLimited(seconds) => rate_limited(*seconds),
            Self::TooLarge => too_large(),
            Self::OutOfStorage => {
                let mut status = Status::resource_exhausted("Disk usage is at 96%, exceeding the quota of 95%");
                status.metadata_mut().insert("qdrant-insufficient-storage", MetadataValue::from_static("1"));
                status
            }
            Self::Refused(code) => Status::new(*code, "scripted"),
            Self::WaitTimeout | Self::AnswerLost | Self::Hang | Self::Silence => return None,
        })
    }
}

pub(super) fn rate_limited(seconds: u32) -> Status {
    let mut status = Status::resource_exhausted(format!(
        "Rate limiting exceeded: Write rate limit exceeded, retry later. Retry after {seconds}s"
    ));
    status.metadata_mut().insert("retry-after", MetadataValue::from(seconds));
    status
}

pub(super) fn too_large() -> Status {
    Status::resource_exhausted(
        "Rate limiting exceeded: Write rate limit exceeded, request larger than rate limiter capacity, please try to \
         split your request",
    )
}

#[derive(Default)]
pub(super) struct Faults(Mutex<Scripts>);

#[derive(Default)]
struct Scripts {
    by_method: HashMap<Method, VecDeque<Script>>,
    poisoned: HashSet<PointKey>,
}

struct Script {
    spared: u32,
    times: u32,
    fault: Fault,
}

impl Faults {
    pub(super) fn script(&self, method: Method, spared: u32, times: u32, fault: Fault) {
        self.lock().by_method.entry(method).or_default().push_back(Script { spared, times, fault });
    }

    pub(super) fn forget(&self) {
        self.lock().by_method.clear();
    }

    pub(super) fn poison(&self, point: PointKey) {
        self.lock().poisoned.insert(point);
    }

    pub(super) fn is_poisoned(&self, point: PointKey) -> bool {
        self.lock().poisoned.contains(&point)
    }

    /// What happens to the next call of a method.
    pub(super) fn next(&self, method: Method) -> Option<Fault> {
        let mut scripts = self.lock();
        let queue = scripts.by_method.get_mut(&method)?;
        while queue.front().is_some_and(|script| script.times == 0) {
            queue.pop_front();
        }
        let script = queue.front_mut()?;
        if script.spared > 0 {
            script.spared -= 1;
            return None;
        }
        script.times -= 1;
        Some(script.fault.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Scripts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
