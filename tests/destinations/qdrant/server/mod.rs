//! The protocol server does what a real Qdrant 1.19 was seen to do. Everything here drives it by the ordinary client.
//!
//! Only a real server shows, and nothing here proves: how long things take, what survives a loss of power, back-pressure
//! of a full update queue, the node's quotas as such, snapshots, and what an approximate index misses.

mod collections;
mod limits;
mod reading;
mod scripted;
mod searching;
mod tls;
mod writing;
