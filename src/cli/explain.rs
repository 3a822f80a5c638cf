//! `syncmux explain`: the page of an error kind.

use clap::Args;
use workflows::domain::ErrorKind;
use workflows::domain::error_kind::Actor;

use crate::output::{Failure, table};

/// Say what an error kind means and what to do about it.
///
/// Every failure of this product names a kind: on stderr, in Temporal as the type of the failure, in the API as `code`, in a
/// dead letter. Without a kind, all of them are listed.
///
/// Examples:
///
///   syncmux explain
///   syncmux explain VerificationFailed
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Explain {
    /// The kind, such as Conflict; upper and lower case are the same
    kind: Option<String>,
}

impl Explain {
    #[allow(clippy::unused_async, reason = "every command is run alike")]
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Some(name) = self.kind else {
            let mut rows = table(&["KIND", "EXIT", "HTTP", "RETRIED", "MEANS"]);
            for kind in ErrorKind::ALL {
                rows.add_row([
                    kind.name().to_owned(),
                    kind.exit_code().to_string(),
                    kind.http_status().to_string(),
                    if kind.is_retryable() { "yes" } else { "no" }.to_owned(),
                    page(kind).means.to_owned(),
                ]);
            }
            println!("{rows}");
            return Ok(());
        };
        let Some(kind) = ErrorKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(&name)) else {
            return Err(Failure::new(
                ErrorKind::NotFound,
                format!("there is no error kind {name:?}; `syncmux explain` lists them"),
            ));
        };
        println!("{}", render(kind));
        Ok(())
    }
}

/// What is to be said about a kind, beside what its table says.
struct Page {
    /// In one sentence.
    means: &'static str,
    /// Where it is met.
    examples: &'static [&'static str],
    /// What to do, step by step.
    steps: &'static [&'static str],
}

fn render(kind: ErrorKind) -> String {
    let Page { means, examples, steps } = page(kind);
    let list = |lines: &[&str]| lines.iter().map(|line| format!("  * {line}\n")).collect::<String>();
    let retried = if kind.is_retryable() {
        "a step that fails with it is tried again, with growing pauses"
    } else {
        "a step that fails with it is not tried again: the operation fails"
    };
    let acts = match kind.actor() {
        Actor::Caller => "whoever asked: the request has to change, or has to come at another time",
        Actor::Operator => "the operator: something around the operation has to change",
        Actor::Nobody => "nobody: it is expected to heal by itself",
        Actor::Developer => "a developer: this is a bug until shown otherwise",
    };
    format!(
        "{kind}: {means}\n\nMet when\n{}\nWhat to do\n{}\nExit code {}, HTTP status {}. Temporal: {retried}.\nWho acts: {acts}.",
        list(examples),
        list(steps),
        kind.exit_code(),
        kind.http_status()
    )
}

/// The page of a kind. No `_` arm: a new kind does not compile without its page.
const fn page(kind: ErrorKind) -> Page {
    match kind {
        ErrorKind::InvalidInput => INVALID_INPUT,
        ErrorKind::Unauthorized => UNAUTHORIZED,
        ErrorKind::Forbidden => FORBIDDEN,
        ErrorKind::NotFound => NOT_FOUND,
        ErrorKind::Conflict => CONFLICT,
        ErrorKind::RawStoreInvalid => RAW_STORE_INVALID,
        ErrorKind::IncompatibleDestination => INCOMPATIBLE_DESTINATION,
        ErrorKind::DestinationDenied => DESTINATION_DENIED,
        ErrorKind::RejectedDocuments => REJECTED_DOCUMENTS,
        ErrorKind::VerificationFailed => VERIFICATION_FAILED,
        ErrorKind::RateLimited => RATE_LIMITED,
        ErrorKind::OutOfSpace => OUT_OF_SPACE,
        ErrorKind::Unavailable => UNAVAILABLE,
        ErrorKind::Timeout => TIMEOUT,
        ErrorKind::TooLarge => TOO_LARGE,
        ErrorKind::Internal => INTERNAL,
    }
}

const INVALID_INPUT: Page = Page {
    means: "the request itself is wrong.",
    examples: &["a malformed id", "an option or profile key that does not exist", "a number out of its range"],
    steps: &[
        "read the message: it names the field and what it may be",
        "`syncmux COMMAND --help` lists the options; profiles are described in the README",
    ],
};

const UNAUTHORIZED: Page = Page {
    means: "no valid credentials were presented to this program.",
    examples: &["an X-API-Key that is unknown or has expired", "a wrong SYNCMUX_INTERNAL_TOKEN"],
    steps: &["send the platform's API key in X-API-Key, or the internal token as a bearer token"],
};

const FORBIDDEN: Page = Page {
    means: "the caller is known, but may not do this.",
    examples: &["the organisation lacks the feature flag", "a key without the right for a rebuild"],
    steps: &[
        "have the feature flag `sync_multiplexer` enabled for the organisation",
        "for `resync --rebuild` set PLATFORM_ADMIN_API_KEY, or give the organisation `api_key_admin_sync`",
    ],
};

const NOT_FOUND: Page = Page {
    means: "the sync, slot, connection, operation or raw store does not exist, or belongs to another organisation.",
    examples: &["a mistyped id", "the id of another organisation", "a sync that never wrote a raw store"],
    steps: &[
        "compare the id and --organization with what `syncmux list` and `syncmux operations list` show",
        "for a raw store: `syncmux arf stat --sync SYNC`; a first run of the sync, or a resync, writes one",
    ],
};

const CONFLICT: Page = Page {
    means: "the state of the world does not allow it now.",
    examples: &[
        "another operation of the same workflow runs",
        "a switch finds another active slot or generation than was expected, or a slot that is not ready",
        "the reverse window of a slot is over, or a retire comes before its end",
        "the workflow of the operation was terminated from outside",
    ],
    steps: &[
        "read the message: it names what is in the way and the way out",
        "`syncmux list --sync SYNC` and `syncmux operations list --state running` show what is there",
        "`syncmux switch --dry-run` and `syncmux retire --dry-run` list every blocker",
        "a terminated operation goes on with `syncmux operations retry OPERATION`",
    ],
};

const RAW_STORE_INVALID: Page = Page {
    means: "the raw store cannot be built upon.",
    examples: &["an unreadable manifest", "a listing that is shorter than it may be", "entities it lacks"],
    steps: &[
        "`syncmux arf check --sync SYNC` names what is wrong",
        "`syncmux resync --sync SYNC` has the platform write it again; --rebuild all of it",
        "when entities are meant to be gone: --confirm-drop with the number that was named",
    ],
};

const INCOMPATIBLE_DESTINATION: Page = Page {
    means: "the destination exists with another vector size, schema or layout than the profile wants.",
    examples: &["a collection of Qdrant with vectors of another length", "an application of Vespa without a field"],
    steps: &[
        "read the message: it names what is there and what was wanted",
        "choose another collection, namespace or connection in the profile, or deploy the schema (`deploy/vespa`)",
        "fork again; nothing was written",
    ],
};

const DESTINATION_DENIED: Page = Page {
    means: "the destination or the database refused our credentials.",
    examples: &["a key that was rotated", "an ENCRYPTION_KEY that is not the platform's", "a role without rights"],
    steps: &[
        "`syncmux doctor --connection CONNECTION --organization ORGANIZATION` asks the destination",
        "mend the connection's credentials in the platform, or the worker's ENCRYPTION_KEY",
        "`syncmux operations retry OPERATION`",
    ],
};

const REJECTED_DOCUMENTS: Page = Page {
    means: "more entities were rejected than the operation's budget allows.",
    examples: &["files that cannot be decoded", "documents that the destination refuses one by one"],
    steps: &[
        "`syncmux dead-letters --sync SYNC --slot SLOT` lists them with stage and reason",
        "mend the cause; or, when they may be missing, fork again with a larger --dead-letter-budget",
    ],
};

const VERIFICATION_FAILED: Page = Page {
    means: "verification found missing, extra or differing entities in the slot.",
    examples: &["somebody else wrote to the slot's collection", "a destination that lost acknowledged writes"],
    steps: &[
        "the message and `syncmux verify --sync SYNC --slot SLOT --list` name the first differences",
        "nothing was switched; fork again with the same profile to mend what differs, or to another connection",
        "when it comes back, look for who else writes there",
    ],
};

const RATE_LIMITED: Page = Page {
    means: "the other side asks to slow down.",
    examples: &["429 of an embeddings server or destination", "RESOURCE_EXHAUSTED over gRPC"],
    steps: &["nothing: it waits as long as it was told to", "if it lasts, throttle the operation"],
};

const OUT_OF_SPACE: Page = Page {
    means: "the other side has no space left.",
    examples: &["Postgres without disk", "a Vespa whose feed is blocked by its disk or memory limit"],
    steps: &[
        "free or add space there; the operation waits and goes on by itself",
        "`syncmux operations pause OPERATION` stops the writing meanwhile",
    ],
};

const UNAVAILABLE: Page = Page {
    means: "something is not reachable just now.",
    examples: &["a refused or reset connection", "a server that starts, or fails over"],
    steps: &[
        "nothing, at first: an outage of hours pauses a migration, it does not end it",
        "`syncmux doctor` says what is away, seen from where it runs",
    ],
};

const TIMEOUT: Page = Page {
    means: "a deadline passed, or a body stalled.",
    examples: &["a destination under load", "a lock in the database that somebody holds"],
    steps: &[
        "nothing, at first: it is tried again",
        "if it lasts, look at the load of what is named, and throttle the operation",
    ],
};

const TOO_LARGE: Page = Page {
    means: "a request or a single object is over a size limit.",
    examples: &["413 of a destination", "an object of the raw store beyond what is read"],
    steps: &[
        "nothing for a batch: it is split and sent again",
        "a single object becomes a dead letter: `syncmux dead-letters` names it",
    ],
};

const INTERNAL: Page = Page {
    means: "an invariant of this program is broken, or something answered what it cannot explain.",
    examples: &["a server's answer that is no documented one", "a record written by a newer release"],
    steps: &[
        "nothing is lost: what is recorded is what was acknowledged",
        "look whether all workers are of one release, and whether `syncmux migrate` was run",
        "keep the worker's log of that time (SYNCMUX_LOG=debug) and the workflow's history, and report it",
        "`syncmux operations retry OPERATION` is safe",
    ],
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_page_of_its_own() {
        let mut meanings = BTreeSet::new();
        for kind in ErrorKind::ALL {
            let Page { means, examples, steps } = page(kind);
            assert!(!examples.is_empty() && !steps.is_empty(), "{kind}");
            assert!(meanings.insert(means), "{kind} has the page of another kind");
            let text = render(kind);
            let exit = format!("Exit code {}, HTTP status {}", kind.exit_code(), kind.http_status());
            assert!(text.starts_with(kind.name()) && text.contains(&exit), "{text}");
            assert_eq!(text.contains("is not tried again"), !kind.is_retryable(), "{text}");
        }
    }
}
