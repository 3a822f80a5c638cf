//! Vespa as a destination: documents over HTTP, one per chunk or one per entity.
//!
//! Start at `service.rs`, which is the [`Destination`](super::Destination). What a document looks like: `config` (the
//! profile's layout), `schema` and `mapping` (which fields), `document`, `fields`, `sanitise`, `document_id`. How writes get
//! there: `feeder`, over `body` and `connections`, with `window` and `throttler` for how many at a time, `order` for one at
//! a time per document, `hold` and `breaker` for a server in trouble, `status` and `classify` for what an answer means. How
//! documents are found again: `query`, `visit`, `locate`.
//!
//! Invariants kept here:
//! * The application is deployed by its operator; nothing here deploys or alters one. What is deployed is compared with
//!   the profile before anything is written.
//! * Every selection and every query names collection and sync. A write to an id that another sync may have depends on
//!   whose the document there is.
//! * A success counts only when it names the document that was meant and no header takes it back.
//! * Vespa has no transactions over documents: writers of the same entity at the same time may leave a mixture, which the
//!   next single writer mends.

mod body;
mod breaker;
mod calls;
mod classify;
mod client;
mod config;
mod connections;
mod delete;
mod deployed;
mod document;
mod document_id;
mod endpoint;
mod feeder;
mod fields;
mod hold;
mod limits;
mod locate;
mod mapping;
mod order;
mod query;
mod read;
mod sanitise;
mod scan;
mod schema;
mod search;
mod selection;
mod service;
mod status;
mod throttler;
mod upsert;
mod visit;
mod window;

pub use client::{VespaClient, VespaClients};
pub use config::VespaSettings;
pub(crate) use config::complete;
pub use endpoint::{VespaCredentials, VespaEndpoint};
pub use feeder::FeedCounts;
pub use limits::VespaLimits;
pub use service::Vespa;
