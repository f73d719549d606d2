//! What the manual says of the sequence functions.

use crate::functions::{ArgumentDoc, FunctionDoc, FunctionKind};

/// What the manual says of this family.
pub fn docs() -> Vec<FunctionDoc> {
    vec![]
}
