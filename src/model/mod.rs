//! Pure statistics: numbers in, numbers out.
//!
//! Deals with: models and intervals that the functions and relations call once the rows are counted.
//! Does not deal with: Arrow, DataFusion, files, time zones or SQL arguments (`functions`, `relations`).

pub mod bg_nbd;
pub mod markov;
pub mod proportions;
pub mod shapley;
pub mod sketches;
pub mod welch;
pub mod wilson;
