//! Where files are cut, and what is said of them.
