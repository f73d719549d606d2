//! The kernels and the aggregates alone: no SQL, no files, no hash table. `cargo bench --bench functions [-- filter]`.
//!
//! Figures are for comparing lines of one run: a function beside DataFusion's `count`, the native grouped path beside the
//! generic one, a usual input beside an adversarial one of the same size. Every bench says what it forces.
//! Does not deal with: scanning, grouping and planning (`end_to_end`), or other engines (`peers`).

mod aggregates;
mod drive;
mod events;
mod kernels;
mod model;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

/// As in the program: fresh pages cost more with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Short: there are many benches, and what is looked for are factors, not per cent.
fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .without_plots()
}

/// A size for measuring; a hundredth of it where cargo only tries whether the benches run.
fn size(measured: usize) -> usize {
    if std::env::args().any(|arg| arg == "--bench") { measured } else { measured / 100 }
}

criterion_group! {
    name = all;
    config = quick();
    targets = kernels::funnel, kernels::funnel_options, kernels::retention, kernels::calendar,
        aggregates::single_phase, aggregates::two_phases, aggregates::generic, aggregates::kept, aggregates::arguments,
        model::bg_nbd
}
criterion_main!(all);
