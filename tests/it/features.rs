//! `cargo run` and `cargo test` share every compiled dependency: the test crates may add crates, and no feature to one that the
//! program has. Otherwise a newcomer's two first commands compile everything twice.

use std::collections::BTreeSet;
use std::process::Command;

/// Every package with its features, as one build would have them.
fn resolved(edges: &str) -> BTreeSet<String> {
    let told = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} {f}", "--edges", edges])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let text = String::from_utf8(told.stdout).unwrap();
    text.lines().map(|line| line.trim_end_matches(" (*)").replace(" (proc-macro)", "")).collect()
}

#[test]
fn tests_ask_no_feature_of_a_dependency_that_the_program_does_not() {
    let (program, tests) = (resolved("normal,build"), resolved("normal,build,dev"));
    assert!(program.len() > 100);
    let differ: Vec<&String> = program.difference(&tests).collect();
    assert!(
        differ.is_empty(),
        "with the test crates these have other features: {differ:#?}; ask for them in [dependencies]"
    );
}
