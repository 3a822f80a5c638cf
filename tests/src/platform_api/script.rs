//! What goes wrong, in order.

use std::collections::VecDeque;
use std::time::Duration;

/// What becomes of a request that would start a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 401, as if no key had come.
    Unauthorized,
    /// 403, as if the key had expired.
    Forbidden,
    /// 404, as if the source connection were gone.
    NotFound,
    /// 400 because of a limit, with these words.
    Refused(String),
    /// 422 with a list of what is wrong.
    Misunderstood,
    /// 429 with `Retry-After`, in seconds.
    SlowDown(u32),
    /// 500; no job was started.
    Failed,
    /// 500; a job was started all the same.
    FailedAfterStart,
    /// 503 from whatever stands in front; no job was started.
    Unavailable,
    /// 307 to somewhere else.
    Redirect(String),
    /// A job is started, and the connection breaks in the middle of the answer.
    LoseAnswer,
    /// A job is started, and the answer is something else.
    Garbage,
    /// The answer has more bytes than anybody should read.
    Endless,
    /// It takes so long, then goes well.
    Slow(Duration),
    /// An ordinary job is started, whatever was asked for.
    IgnoreConfiguration,
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ending {
    /// It does its work.
    #[default]
    Well,
    /// It fails with these words, having done nothing.
    Failed(String),
    /// Somebody cancels it.
    Cancelled,
    /// It succeeds without having seen an entity, having done nothing.
    Empty,
    /// It never reacts to being cancelled.
    Deaf,
}

/// What is still to go wrong.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub faults: VecDeque<Fault>,
    pub endings: VecDeque<Ending>,
}
