//! Programs written on wq, and the parts of the largest of them.
//!
//! Each file of `src/bin` is a program to read from top to bottom. Two outgrew a single file:
//! [`treesum`] sums a directory tree, and does the same job on tokio to compare; [`stall`] shows
//! what handlers that block or burn do to everybody else. What several have in common is here, too:
//! a [`gauge`], [`arguments`], and treesum's record of lateness ([`treesum::heartbeat`]).

#![forbid(unsafe_code)]

pub mod arguments;
pub mod gauge;
pub mod stall;
pub mod treesum;
