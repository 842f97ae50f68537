//! Benchmarks of wq against its peers.
fn main() {}
