//! The product from outside: workflows on a real Temporal, slots in a real Postgres, the program as a process.

mod architecture;
mod catching_up;
mod command_line;
mod connections;
mod continuing;
mod contracts;
mod demo;
mod fenced_switch;
mod following;
mod imperfect_store;
mod journey;
mod operators;
mod places;
mod platform_api;
mod qdrant_fidelity;
mod qdrant_migration;
mod reading;
mod refusals;
mod resyncing;
mod retiring;
mod rolling_back;
mod switch_of_a_collection;
mod switching;
mod vector_reuse;
mod vespa_migration;
mod vespa_package;
