//! What blocks, and what deadlocks elsewhere: each in a process of its own, one at a time.
#![cfg(target_os = "linux")]

mod blocks;
mod deadlocks;
mod faults;
mod harness;
mod lane;
mod names;
