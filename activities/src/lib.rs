//! Effects: the activities and the adapters they use.
//!
//! | module | owns |
//! |---|---|
//! | `steps` | one activity per file: parse the input, call the adapters, answer |
//! | `replay` | the pipeline from an object of the raw store to points of a slot |
//! | [`database`] | the platform's Postgres: its tables read, our schema written |
//! | [`raw_store`] | the platform's raw entities, read only |
//! | [`json`], [`text`], [`content`] | entities, their texts and hashes as the platform makes them, stored files |
//! | [`chunking`], [`embedding`], [`sparse`] | pieces of text and their vectors |
//! | [`destinations`] | vector databases |
//! | [`throttle`] | how fast work goes: limits of operators, health of destinations |
//! | [`inspection`] | what a replay would make of an entity, for people to look at |
//! | [`metrics`], [`trace_context`] | what is counted, and which trace a piece of work belongs to |
//! | [`platform_api`] | the platform's HTTP API: starting, watching and cancelling its jobs |
//! | [`api_keys`] | whose a key of the platform is, for callers of our own HTTP API |
//! | [`webhooks`] | events, sent to a receiver |
//! | [`connections`], [`credentials`], [`profile`] | how to get into a destination, and how a slot is built |
//!
//! Failures are classified where they happen, into [`error::Error`]; `activity_error` tells Temporal.
//! Start at [`Activities`], then `steps::replay_segment`.

mod active_search;
mod activities;
mod activity_error;
mod activity_span;
pub mod api_keys;
pub mod chunking;
pub mod connections;
pub mod content;
mod context;
pub mod credentials;
pub mod database;
pub mod destinations;
mod drain;
pub mod embedding;
pub mod error;
mod heartbeat;
mod ids;
pub mod inspection;
pub mod json;
pub mod metrics;
pub mod platform_api;
pub mod profile;
pub mod raw_store;
mod replay;
mod search;
pub mod sparse;
mod steps;
pub mod text;
pub mod throttle;
pub mod trace_context;
mod verification;
pub mod webhooks;

pub use activities::Activities;
pub use context::Settings;
