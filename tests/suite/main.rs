//! The product from outside: workflows on a real Temporal, slots in a real Postgres, the program as a process.

mod architecture;
mod catching_up;
mod command_line;
mod continuing;
mod contracts;
mod imperfect_store;
mod journey;
mod operators;
mod refusals;
mod switching;
mod vector_reuse;
