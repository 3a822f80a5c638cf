//! Vespa: the protocol server against Vespa's own conformance facts and official clients, and our destination against the
//! server.
//!
//! `VESPA_URL` names a real Vespa to take the server's place where that makes sense, with the application of
//! `deploy/vespa` for chunks with 8 dimensions; `VESPA_CLUSTER` its content cluster when that is not `airweave`;
//! `VESPA_TOKEN`, or `VESPA_CERT_FILE` and `VESPA_KEY_FILE`, how one shows who one is there, and `VESPA_CA_FILE` whom one
//! trusts. What was written is removed again.

mod conformance_table;
mod destination;
mod faults;
mod feeder;
mod peers;
mod place;
mod slots;
mod target;
mod transport;
mod world;
