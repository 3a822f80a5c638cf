//! The steps of the journeys, one activity per file. Each may run twice and then changes nothing the second time.

pub(crate) mod announce_switch;
pub(crate) mod begin_fork;
pub(crate) mod check_retire;
pub(crate) mod check_switch;
pub(crate) mod clear_scope;
pub(crate) mod close_replay;
pub(crate) mod create_shadow;
pub(crate) mod drop_plan;
pub(crate) mod drop_shadow;
pub(crate) mod end_operation;
pub(crate) mod finish_destination;
pub(crate) mod flip_roles;
pub(crate) mod followed_slots;
pub(crate) mod mark_ready;
pub(crate) mod mark_retiring;
mod phase;
mod place;
pub(crate) mod plan_replay;
pub(crate) mod prepare_destination;
pub(crate) mod remove_points;
pub(crate) mod remove_slot;
pub(crate) mod replay_segment;
mod retire_request;
mod switch_request;
pub(crate) mod unmark_retiring;
pub(crate) mod validate_raw_store;
pub(crate) mod verify_slot;
