//! Attributes of wq.
