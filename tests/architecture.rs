//! The plan of the house, held: see ARCHITECTURE.md.
#[test]
fn arrows() {}
