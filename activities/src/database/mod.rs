//! The platform's Postgres, which we share: its tables read, our own schema `sync_multiplexer` written.
//!
//! This is where the cursor of record, the ledger and the roles live, so most invariants of the product are kept here,
//! by constraints in `migrations/` where a constraint can say it, and by one transaction per function where not:
//!
//! * every function that takes an id takes the organisation as well, and answers `NotFound` for another one's;
//! * of the platform's tables only `sync_connection` is ever written: its role, and rows of slots that we made;
//! * whatever changes roles or slots of a sync first locks that sync's row of `sync_state`, so such changes come one
//!   after the other;
//! * each function may be repeated with the same input and then changes nothing new.
//!
//! SQL is static text with every table under its schema. Errors are classified in [`classify()`](classify::classify), once.
//!
//! Start at [`Database`], then [`slots`], [`shadow`] and [`adoption`] (a slot's life), [`plans`] and [`segments`] (a replay), [`roles`]
//! (the flip), [`retire`] (a slot's end).

pub mod active_destination;
pub mod adoption;
mod binary_copy;
pub mod classify;
pub mod collections;
mod completeness;
mod connect;
pub mod dead_letters;
pub mod donors;
pub mod ledger;
mod migrate;
pub mod operations;
pub mod plans;
pub mod platform;
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
mod switch_rules;
mod sync_lock;
mod text_enum;
pub mod verifications;

#[cfg(test)]
pub(crate) mod test_database;
#[cfg(test)]
pub(crate) mod tests;

pub use connect::Database;
pub use migrate::{MigrationStatus, PendingMigration};
pub use scope::SlotScope;
pub use segment_entries::PlannedChange;
pub use slots::{Role, Slot, SlotState};
