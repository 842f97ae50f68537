//! The files that may contain unsafe code, and why each one must.
//!
//! Adding a line here is a design decision: say in it what the safe language cannot express.

/// A file, or a folder if the path ends with `/`, and its reason.
pub(super) const ALLOWED: &[(&str, &str)] = &[];
