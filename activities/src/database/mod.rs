//! The platform's Postgres, which we share: its tables read, our own schema `sync_multiplexer` written.
//!
//! This is where the cursor of record, the ledger and the roles live, so most invariants of the product are kept here,
//! by constraints in `migrations/` where a constraint can say it, and by one transaction per function where not:
//!
//! * every function that takes an id takes the organisation as well, and answers `NotFound` for another one's;
//! * of the platform's tables only two are ever written: `sync_connection`, its role and rows of slots that we made, and
//!   `sync_job`, one row of our own for as long as a fence stands;
//! * whatever changes roles or slots of a sync first locks that sync's row of `sync_state`, so such changes come one
//!   after the other;
//! * each function may be repeated with the same input and then changes nothing new;
//! * whoever writes a batch to a destination and whoever makes a plan exclude each other ([`batch_hold`]).
//!
//! SQL is static text with every table under its schema. Errors are classified in [`classify()`](classify::classify), once.
//!
//! Start at [`Database`], then [`slots`], [`shadow`] and [`adoption`] (a slot's life), [`plans`] and [`segments`] (a replay),
//! [`fence`] and [`roles`] (the flip), [`retire`] (a slot's end), [`resyncs`] (a job of the platform),
//! [`throttle`] and [`throttle_turn`] (how fast).

pub mod active_destination;
pub mod adoption;
pub mod api_keys;
pub mod batch_hold;
mod binary_copy;
pub mod classify;
pub mod clock;
pub mod collection;
mod completeness;
mod connect;
pub mod dead_letters;
pub mod donors;
pub mod doubts;
pub mod fence;
pub mod follow_state;
pub mod idempotency;
pub(crate) mod idle_connection;
pub mod ledger;
pub mod live_progress;
mod migrate;
pub mod operation_list;
pub mod operations;
pub mod outbox;
pub mod plans;
pub mod platform;
mod platform_jobs;
pub mod resyncs;
pub mod retire;
mod retire_rules;
pub mod reverse_window;
pub mod roles;
mod scope;
mod segment_entries;
pub mod segments;
pub mod shadow;
pub mod slots;
mod staged_listing;
pub mod standing;
mod switch_proof;
mod switch_rules;
pub mod sync_jobs;
mod sync_lock;
mod text_enum;
pub mod throttle;
pub mod throttle_turn;
pub mod throttled;
pub mod verifications;

#[cfg(test)]
pub(crate) mod test_database;
#[cfg(test)]
pub(crate) mod tests;

pub use connect::Database;
pub use migrate::{MigrationStatus, PendingMigration};
pub use platform_jobs::PlatformJob;
pub use scope::SlotScope;
pub use segment_entries::PlannedChange;
pub use slots::{Role, Slot, SlotState};
