//! Comparison with a twin, and its negative control.

use kernels::reference::Expected;

/// Panics, naming the worst element, unless every value lies within its bound; then runs the negative control.
pub fn assert_close(what: &str, got: &[f32], expected: &Expected) {
    let worst = expected.compare(got).unwrap_or_else(|message| panic!("{what}: {message}"));
    assert!(
        worst.ratio <= 1.0,
        "{what}: element {} is {} instead of {}, {:.3} times the tolerance",
        worst.index,
        worst.got,
        worst.want,
        worst.ratio
    );
    assert_control(what, got, expected);
}

/// Runs the negative control: the same result with one element moved by ten times its bound (or poisoned) must be refused.
pub fn assert_control(what: &str, got: &[f32], expected: &Expected) {
    let middle = got.len() / 2;
    let value = expected.values[middle];
    let moved = if value.is_finite() { value + 10.0 * expected.bounds[middle].max(1e-6) } else { 0.0 };
    for poison in [moved, f64::NAN] {
        let mut wrong = got.to_vec();
        wrong[middle] = poison as f32;
        let worst = expected.compare(&wrong).unwrap_or_else(|message| panic!("{what}: {message}"));
        assert!(
            !(worst.ratio <= 1.0),
            "{what}: the comparison can't fail: {poison} passed for {}",
            expected.values[middle]
        );
    }
}
