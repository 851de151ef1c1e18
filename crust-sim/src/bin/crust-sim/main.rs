//! The `crust-sim` command.

fn main() {}
