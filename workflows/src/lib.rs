//! Decisions: the domain and the durable workflows. Pure: no clock, no socket, no randomness of its own.
//!
//! This crate depends on the deterministic surface of the Temporal SDK only, so that doing I/O in a workflow is a
//! compile error; a test over `cargo metadata` holds that. Effects are declared in [`definitions`] and implemented in
//! the crate `activities`.
//!
//! Start at [`fork::ForkWorkflow`], [`follow::FollowWorkflow`], [`switch::SwitchWorkflow`], [`retire::RetireWorkflow`] and
//! [`resync::ResyncWorkflow`]; [`fork_collection`] is many forks.
//!
//! Invariants kept here: undo is registered before the step it undoes and runs on a detached cancellation token; every
//! wait inside a loop uses a detached token; input and signals are decoded tolerantly, so that a bad payload is an
//! answer and not a wedged workflow; names below are frozen, because histories and other people's scripts hold them.

mod catch_up;
mod controls;
pub mod definitions;
pub mod domain;
pub mod follow;
pub mod fork;
pub mod fork_collection;
mod gate;
mod ids;
mod input;
mod memo;
mod operator;
mod progress;
mod replay;
pub mod resync;
pub mod retire;
pub mod search_attributes;
mod step;
mod stop;
pub mod switch;
mod undo;
mod window;

pub use ids::{
    collection_switch_workflow_id, follow_workflow_id, fork_collection_workflow_id, fork_workflow_id,
    resync_workflow_id, retire_workflow_id, switch_workflow_id,
};
pub use input::{InputError, decode};

/// The task queue workers of this product poll. Never the platform's own: its tasks are not ours to take.
pub const TASK_QUEUE: &str = "sync-multiplexer";
