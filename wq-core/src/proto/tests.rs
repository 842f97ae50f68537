//! The loom models, one file for each protocol file.
