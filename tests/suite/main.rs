//! The product from outside: workflows on a real Temporal, slots in a real Postgres, the program as a process.

mod architecture;
mod journey;
