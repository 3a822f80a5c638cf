//! A protocol server for tests that behaves like one Vespa 8.738 container in front of one content cluster, as far as a
//! client can tell: `/document/v1` and the part of `/search/` that verification uses. Start at [`VespaServer::start`].
//!
//! It follows Vespa's source and documentation, not what our client would like: paths are decoded as Vespa's container
//! does, documents are checked against the platform's schemas, a full queue refuses, visits give awkward pages. What it
//! does not model it refuses with a message that says so (501, or 400 within a selection), so that a test cannot pass
//! because the server was lenient.
//!
//! Modelled:
//!
//! | file | what |
//! |---|---|
//! | `connection`, `tls` | HTTP/1.1 and HTTP/2 on one port, by prior knowledge or ALPN; client certificates; resets, GOAWAY |
//! | `service`, `pages`, `body` | tokens, gzip, faults, the pages that clients look at first |
//! | `target`, `route`, `document_id`, `parameters` | addresses and parameters, bit for bit |
//! | `documents`, `write`, `update` | get, put, update, remove; conditions, `create`, `dryRun`, `fieldSet` |
//! | `schema`, `value`, `text_rule` | field types, tensors with bfloat16, what a text may hold, empties |
//! | `selection`, `visit` | selections, visits, deletes and updates and copies with a selection |
//! | `queue`, `faults` | back-pressure that emerges, and faults by script |
//! | `search` | queries |
//! | `store`, `journal` | what it holds, and what it was asked |
//!
//! Not modelled: several nodes and redundancy, bucket splits, feed and query tuning, document expiry, message-bus routes,
//! the upgrade from HTTP/1.1 to h2c, documents sent as forms, update operations on parts of a field, tensors with several
//! dimensions of a kind, what Vespa derives by embedding, and a stream that is sent while it is visited (it is sent whole).
//! Texts of error messages follow Vespa's where clients could look at them; pages of its web server are shorter.

mod body;
mod cluster;
mod connection;
mod document_id;
mod documents;
mod faults;
mod journal;
mod options;
mod pages;
mod parameters;
mod queue;
mod reply;
mod route;
mod schema;
mod search;
mod selection;
mod server;
mod service;
mod store;
mod target;
mod text_rule;
mod tls;
mod update;
mod value;
mod visit;
mod write;

pub use faults::{Fault, FaultRule, Faults, Victim};
pub use journal::{Journal, Request};
pub use options::{KeywordScore, Security, VespaServerOptions};
pub use queue::QueueLimits;
pub use schema::{FieldRow, Generation, Indexing, platform_tables};
pub use server::VespaServer;
pub use text_rule::illegal_code_point;
pub use tls::{Identity, Tls};
