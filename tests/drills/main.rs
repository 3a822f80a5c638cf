//! What happens when things die: workers, servers, connections; and whether recorded histories still replay.
//!
//! | file | drill |
//! |---|---|
//! | `destination_writer_killed` | a worker is killed in the middle of writing to Qdrant or Vespa |
//! | `worker_killed`, `sigterm` | a worker is killed, frozen, or asked to stop, in the middle of a replay |
//! | `temporal_killed` | the Temporal server is killed and started again |
//! | `postgres_cut` | every connection to Postgres is cut, again and again |
//! | `unwind` | every step of a fork fails for good: nothing is left, nothing of others is taken |
//! | `collection_killed` | workers are killed while a collection is forked |
//! | `retire_killed` | a worker is killed in the middle of a retire |
//! | `fence_holder_killed` | a worker is killed while a switch holds its fence |
//! | `resync_killed` | a worker is killed while the platform's job runs, or while the platform is being asked for it |
//! | `continue_as_new` | a fork that is longer than one history |
//! | `follow_killed` | workers die while they follow and the platform goes on writing: the slot is a clean build |
//! | `live_writes_killed` | workers die while slots are forked, followed and switched and the platform goes on writing |
//! | `history_replay` | recorded histories replay; a changed workflow does not |
//!
//! `write_log` counts what was written how often, `moments` chooses when to strike, `closed_ledger` stops a replay at its
//! most delicate point.

mod closed_ledger;
mod collection_killed;
mod continue_as_new;
mod destination_writer_killed;
mod fence_holder_killed;
mod follow_killed;
mod history_replay;
mod live_writes_killed;
mod moments;
mod postgres_cut;
mod resync_killed;
mod retire_killed;
mod sigterm;
mod temporal_killed;
mod unwind;
mod worker_killed;
mod write_log;
