//! Tells cargo that a new migration file is a change: they are embedded at compile time.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
