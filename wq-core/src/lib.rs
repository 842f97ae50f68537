//! The engine of wq.
