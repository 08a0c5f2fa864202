//! Slopes of losses, which gradients are held to.

/// Steps in a unit: numbers that are whole steps are moved by some of them without rounding in f32.
const STEPS: f32 = 1024.0;

/// Rounds numbers to whole steps.
pub fn round_to_steps(numbers: &mut [f32]) {
    numbers.iter_mut().for_each(|number| *number = (*number * STEPS).round() / STEPS);
}

/// Computes the slope of a loss along each of some numbers of whole steps, by the five-point formula: its error is of the order of the step's fourth power, 1e-12.
pub fn slopes(numbers: &[f32], mut loss: impl FnMut(&[f32]) -> f64) -> Vec<f64> {
    let mut moved = numbers.to_vec();
    let mut slope = |place: usize| {
        let mut total = |steps: f32| {
            moved[place] = numbers[place] + steps / STEPS;
            loss(&moved)
        };
        let slope = (total(-2.0) - 8.0 * total(-1.0) + 8.0 * total(1.0) - total(2.0)) / 12.0 * f64::from(STEPS);
        moved[place] = numbers[place];
        slope
    };
    (0..numbers.len()).map(&mut slope).collect()
}
