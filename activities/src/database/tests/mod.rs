//! The database functions against a real Postgres, one database per test.

mod adoption;
mod collection;
mod completeness;
mod connect;
mod constraints;
mod dead_letters;
mod donors;
mod exclusivity;
mod fence;
mod idempotency;
mod ledger;
mod migrations;
mod operations;
mod outbox;
mod plans;
mod platform;
mod resyncs;
mod retire;
mod roles;
mod rollback;
mod segments;
mod shadow;
mod tenancy;
mod throttle;
pub(crate) mod world;
