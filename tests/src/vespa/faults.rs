//! Faults by script: what goes wrong, for whom, and for how long.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::document_id::DocumentId;
use super::reply::{IGNORED_OPERATION, Refusal, Reply};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 429 as a full queue says it; nothing is done.
    Overload,
    /// 503 with a page of the web server; nothing is done.
    Unavailable,
    /// 502 with a page of a balancer; nothing is done.
    BadGateway,
    /// 500 from the content cluster; nothing is done.
    InternalError,
    /// 504 from the container, which names no document; nothing is done.
    TimeoutInQueue,
    /// 504 from the content cluster, which names the document; the write was done all the same.
    TimeoutInBackend,
    /// 507 while a node is over its limit: puts and updates are refused, removes and numeric assigns pass.
    NoSpace,
    /// 400 as the content cluster refuses a document.
    Rejected,
    /// 413; nothing is done.
    TooLarge,
    /// 401 with a text; nothing is done.
    Unauthorized,
    /// 200 with `X-Vespa-Ignored-Operation`; nothing is done.
    IgnoredOperation,
    /// The request is taken and never answered; nothing is done.
    Hang,
    /// The stream is reset (HTTP/2) or the connection closed (HTTP/1.1); nothing is done.
    ResetStream,
    /// The connection is reset; nothing is done.
    ResetConnection,
    /// The write is done, then the connection is reset: the client cannot know.
    LoseAnswer,
    /// The operation is done and answered, and the connection told to go (GOAWAY with `NO_ERROR`).
    GoAway,
    /// A search sees a part of the documents only, and says so in its coverage.
    DegradedCoverage,
}

/// Whom it befalls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Victim {
    /// Every request.
    Anyone,
    /// Requests to write or read this document: the user part of its id.
    Document(String),
    /// Puts, updates and removes of single documents.
    Writes,
    /// Puts of single documents.
    Puts,
    /// Removes of single documents.
    Removes,
    /// Reads of single documents.
    Gets,
    /// Visits, and the forms with a selection.
    Visits,
    /// Queries.
    Searches,
}

/// What a request is, as far as faults tell requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Put of a document.
    Put,
    /// Update of a document.
    Update,
    /// Remove of a document.
    Remove,
    /// Read of a document.
    Get,
    /// Visit, or a form with a selection.
    Visit,
    /// Query.
    Search,
    /// Anything else.
    Other,
}

/// One line of the script.
#[derive(Debug, Clone)]
pub struct FaultRule {
    fault: Fault,
    victim: Victim,
    left: Option<u32>,
    every: u32,
    seen: u32,
    until: Option<Instant>,
}

impl FaultRule {
    /// Befalls every request from now on, until it is limited or the script is cleared.
    #[must_use]
    pub fn new(fault: Fault) -> Self {
        Self { fault, victim: Victim::Anyone, left: None, every: 1, seen: 0, until: None }
    }

    /// Only these.
    #[must_use]
    pub fn on(mut self, victim: Victim) -> Self {
        self.victim = victim;
        self
    }

    /// So many times and then no more.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    /// Each so-manieth request only.
    #[must_use]
    pub fn every(mut self, every: u32) -> Self {
        self.every = every.max(1);
        self
    }

    /// So long from now on.
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Self {
        self.until = Some(Instant::now() + time);
        self
    }

    fn strikes(&mut self, kind: Kind, id: Option<&DocumentId>) -> bool {
        let over = self.left == Some(0) || self.until.is_some_and(|until| Instant::now() >= until);
        if over || !self.concerns(kind, id) {
            return false;
        }
        self.seen += 1;
        if !self.seen.is_multiple_of(self.every) {
            return false;
        }
        self.left = self.left.map(|left| left - 1);
        true
    }

    fn concerns(&self, kind: Kind, id: Option<&DocumentId>) -> bool {
        let single_write = matches!(kind, Kind::Put | Kind::Update | Kind::Remove);
        let befallen = match &self.victim {
            Victim::Anyone => true,
            Victim::Document(user) => id.is_some_and(|id| id.user == *user),
            Victim::Writes => single_write,
            Victim::Puts => kind == Kind::Put,
            Victim::Removes => kind == Kind::Remove,
            Victim::Gets => kind == Kind::Get,
            Victim::Visits => kind == Kind::Visit,
            Victim::Searches => kind == Kind::Search,
        };
        befallen
            && match self.fault {
                Fault::NoSpace => matches!(kind, Kind::Put | Kind::Update),
                Fault::IgnoredOperation | Fault::Rejected => single_write,
                Fault::DegradedCoverage => kind == Kind::Search,
                _ => true,
            }
    }
}

/// The script. The first rule that strikes decides.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<FaultRule>>,
}

impl Faults {
    /// Adds a line to the script.
    pub fn inject(&self, rule: FaultRule) {
        self.rules.lock().expect("no holder panics").push(rule);
    }

    /// Nothing goes wrong any more.
    pub fn clear(&self) {
        self.rules.lock().expect("no holder panics").clear();
    }

    /// What befalls a request. `passes_no_space` is for updates that only assign numbers.
    pub fn strike(&self, kind: Kind, id: Option<&DocumentId>, passes_no_space: bool) -> Option<Fault> {
        let mut rules = self.rules.lock().expect("no holder panics");
        let passes = |rule: &FaultRule| passes_no_space && rule.fault == Fault::NoSpace;
        rules.iter_mut().find_map(|rule| (!passes(rule) && rule.strikes(kind, id)).then(|| rule.fault.clone()))
    }
}

impl Fault {
    /// The answer, for those that are answers and leave everything undone.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let backend = |status, text: &str| {
            Some(Refusal::backend(
                status,
                format!("[UNKNOWN({status}) @ tcp/vespa:19112/default]: ReturnCode({text}) "),
            ))
        };
        match self {
            Self::Overload => {
                Some(Refusal::handler(429, "Rejecting execution due to overload: 256 requests already enqueued"))
            }
            Self::Unavailable => {
                Some(Refusal::Page { status: 503, title: "HTTP ERROR 503 Service Unavailable".into() })
            }
            Self::BadGateway => Some(Refusal::Page { status: 502, title: "502 Bad Gateway".into() }),
            Self::Unauthorized => Some(Refusal::Page { status: 401, title: "401 Unauthorized".into() }),
            Self::InternalError => Some(Refusal::handler(500, "[FATAL_ERROR @ localhost]: FATAL_ERROR")),
            Self::TimeoutInQueue => Some(Refusal::handler(504, "Timeout after 180000ms")),
            Self::NoSpace => backend(
                507,
                "NO_SPACE, External feed is blocked due to resource exhaustion: disk on node 0 [vespa] (0.913 > 0.900)",
            ),
            Self::Rejected => backend(400, "REJECTED, The document was rejected by the content node"),
            Self::TooLarge => Some(too_large(104_857_601, 104_857_600)),
            _ => None,
        }
    }

    /// The 504 that says nothing about whether the write was done.
    #[must_use]
    pub fn backend_timeout() -> Refusal {
        Refusal::backend(504, "[TIMEOUT @ tcp/vespa:19112/default]: ReturnCode(TIMEOUT, No reply from node in time) ")
    }

    /// The 200 that was none.
    #[must_use]
    pub fn mark_ignored(reply: Reply) -> Reply {
        reply.with(IGNORED_OPERATION, "true")
    }
}

/// 413 for an operation of so many bytes.
#[must_use]
pub fn too_large(bytes: usize, limit: usize) -> Refusal {
    Refusal::handler(
        413,
        format!(
            "Document operation request size {bytes} bytes exceeds maximum size of {limit} bytes. \
             See https://docs.vespa.ai/en/document-v1-api-guide.html#request-size-limit"
        ),
    )
}
