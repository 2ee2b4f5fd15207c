//! Thin: logger, parse, run, exit code.
fn main() {}
