//! Contracts: the messages that cross a process or a history boundary, and their proto3 JSON form. No logic.
//!
//! The sources are `sync_multiplexer/v1/*.proto`. Field numbers and names are kept for ever: histories of running
//! workflows and other people's clients depend on them. Start reading at `fork.proto`.

/// Version 1 of the contracts.
pub mod v1 {
    #![allow(missing_docs, clippy::all, clippy::pedantic)]
    include!(concat!(env!("OUT_DIR"), "/sync_multiplexer.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/sync_multiplexer.v1.serde.rs"));
}

/// The compiled descriptors of every contract, as a serialised `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
