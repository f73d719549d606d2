//! Sorting against a plain sort of all rows.
