//! Tests that Rust and Python draw the same numbers by the formula.

use testkit::formula;

use crate::fixture::Fixture;

#[test]
fn python_and_rust_draw_the_same_tensors() {
    let fixture = Fixture::load();
    assert_eq!(fixture.pinned.len(), 7);
    for pinned in fixture.pinned {
        let drawn = formula::tensor(&pinned.name, &pinned.shape, "bn2");
        assert_eq!(drawn[drawn.len() - 3..], pinned.values, "{}", pinned.name);
    }
}
