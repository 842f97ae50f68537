//! Examples of wq.
