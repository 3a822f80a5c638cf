//! Vespa: the protocol server against Vespa's own conformance facts and official clients, and our destination against the
//! server.
//!
//! `VESPA_URL` names a real Vespa to take the server's place where that makes sense, with the application of
//! `deploy/vespa` for chunks with 8 dimensions, or the platform's; `VESPA_CLUSTER` its content cluster when that is not
//! `airweave`. What was written is removed again.

mod conformance_table;
mod peers;
mod target;
mod transport;
