//! Ways to cheat the store and authz, none of which compiles: each file of `tests/compile-fail/` says one.
//!
//! The `.stderr` beside each says why it fails, so that a typing error does not pass for a wall.
//! `TRYBUILD=overwrite cargo test --test compile_fail` writes them anew; read what changed.

#[test]
fn what_would_cheat_the_store_does_not_compile() {
    let cases = std::fs::read_dir("tests/compile-fail").unwrap();
    let count = cases
        .filter(|entry| {
            let path = entry.as_ref().unwrap().path();
            path.extension().is_some_and(|ending| ending == "rs")
        })
        .count();
    assert!(count >= 24, "{count} are left");
    trybuild::TestCases::new().compile_fail("tests/compile-fail/*.rs");
}
