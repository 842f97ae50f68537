//! The async layer of wq.
