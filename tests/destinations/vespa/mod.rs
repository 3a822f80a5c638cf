//! Vespa: the protocol server against Vespa's own conformance facts and official clients, and our destination against the
//! server.
//!
//! `VESPA_URL` names a real Vespa to take the server's place where that makes sense, with the application of
//! `deploy/vespa` for chunks with 8 dimensions; `VESPA_CLUSTER` its content cluster when that is not `airweave`;
//! the Vespa CLI's `VESPA_CLI_DATA_PLANE_TOKEN`, or `…_CERT_FILE` and `…_KEY_FILE`, how one shows who one is there, and
//! `…_CA_CERT_FILE` whom one trusts. What was written is removed again.

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
