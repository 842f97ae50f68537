//! Programs written on wq, and the parts of the largest of them.
//!
//! Each file of `src/bin` is a program to read from top to bottom. [`treesum`] is the one that
//! outgrew a single file: it sums a directory tree, and does the same job on tokio to compare.

#![forbid(unsafe_code)]

pub mod treesum;
