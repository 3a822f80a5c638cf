//! The product from outside: workflows on a real Temporal, slots in a real Postgres, the program as a process.

mod adopting;
mod architecture;
mod catching_up;
mod command_line;
mod connections;
mod continuing;
mod contracts;
mod demo;
mod fork_collection;
mod imperfect_store;
mod journey;
mod operators;
mod places;
mod qdrant_fidelity;
mod qdrant_migration;
mod reading;
mod refusals;
mod retiring;
mod rolling_back;
mod scars;
mod switching;
mod vector_reuse;
mod vespa_migration;
mod vespa_package;
