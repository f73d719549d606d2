//! States that last: what a stored year of days answers is what the events answer; bytes that are none are refused.

mod answers;
mod hostile;
mod sketches;
