//! L-BFGS: minimises a smooth convex function by values and gradients that others compute, so that many can be computed at once.

use std::collections::VecDeque;

use crate::head::solve::vector::{add, dot, largest};

/// A step is long enough where the slope along it has fallen to this share (the curvature condition of Wolfe).
const CURVATURE: f64 = 0.9;
/// A step that crossed the minimum must have lowered the value by this share of what the slope promised (Armijo).
const DECREASE: f64 = 1e-4;
/// Values along one direction, at most: then the memory is dropped, and once more the search has stalled.
const TRIALS: usize = 25;
/// How much longer than the last a trial may be while the slope still falls steeply.
const LONGER: f64 = 8.0;

/// What became of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is the new iterate.
    Moved,
    /// It was too short or too long: another follows.
    Searching,
    /// No point along any direction is better: rounding hides what is left to gain.
    Stalled,
}

/// A step between iterates, and how the gradient changed along it.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// 1 / (step · change).
    rho: f64,
}

/// A search for the minimum of a convex function: asks for the value and gradient at [`Lbfgs::point`], and goes on when told.
///
/// The line search trusts slopes rather than values: near the minimum of a convex function values differ by less than their rounding,
/// while slopes still change sign. A value decides only where the slope says that the minimum was crossed, and only beyond its noise.
///
/// # Reference
/// Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming 45, 1989, algorithm 2.1;
/// Hager and Zhang, "A new conjugate gradient method with guaranteed descent", SIAM J. Optim. 16(1), 2005, section 4, for why slopes.
pub(crate) struct Lbfgs {
    memory: usize,
    /// What a value may err by, as a share of it.
    noise: f64,
    x: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    pairs: VecDeque<Pair>,
    direction: Vec<f64>,
    slope: f64,
    point: Vec<f64>,
    step: f64,
    /// The longest step whose slope still falls, with it, and the shortest beyond the minimum; that one's slope isn't always known.
    below: (f64, f64),
    beyond: Option<(f64, Option<f64>)>,
    trials: usize,
    begun: bool,
}

impl Lbfgs {
    /// Begins at `start`, keeping the last `memory` steps; a value errs by the share `noise` of it.
    pub fn new(start: Vec<f64>, memory: usize, noise: f64) -> Self {
        Self {
            memory,
            noise,
            point: start.clone(),
            gradient: vec![0.0; start.len()],
            direction: vec![0.0; start.len()],
            x: start,
            value: f64::INFINITY,
            pairs: VecDeque::new(),
            slope: 0.0,
            step: 0.0,
            below: (0.0, 0.0),
            beyond: None,
            trials: 0,
            begun: false,
        }
    }

    /// Gives the point whose value and gradient are wanted.
    pub fn point(&self) -> &[f64] {
        &self.point
    }

    /// Gives the best point yet.
    pub fn x(&self) -> &[f64] {
        &self.x
    }

    /// Gives the value at the best point yet.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Computes the infinity norm of the gradient at the best point yet.
    pub fn norm(&self) -> f64 {
        largest(&self.gradient)
    }

    /// Takes value and gradient at [`Lbfgs::point`].
    pub fn told(&mut self, value: f64, gradient: Vec<f64>) -> Told {
        if !self.begun {
            self.begun = true;
            (self.value, self.gradient) = (value, gradient);
            self.turn();
            return Told::Moved;
        }
        let slope = dot(&gradient, &self.direction);
        let finite = value.is_finite() && slope.is_finite();
        let promised = self.value + DECREASE * self.step * self.slope + self.noise * self.value.abs();
        let crossed = !finite || (slope > 0.0 && value > promised);
        if !crossed && slope.abs() <= CURVATURE * -self.slope {
            self.accept(value, gradient);
            return Told::Moved;
        }
        self.trials += 1;
        if self.trials > TRIALS {
            if self.pairs.is_empty() {
                return Told::Stalled;
            }
            self.pairs.clear();
            self.turn();
            return Told::Searching;
        }
        if crossed || slope > 0.0 {
            self.beyond = Some((self.step, finite.then_some(slope)));
        } else {
            self.below = (self.step, slope);
        }
        let (low, falling) = self.below;
        self.step = match self.beyond {
            Some((high, Some(rising))) => {
                let share = if rising > falling { -falling / (rising - falling) } else { 0.5 };
                low + (high - low) * share.clamp(0.1, 0.9)
            }
            Some((high, None)) => low + 0.1 * (high - low),
            None => {
                // Where the slope would vanish if it went on changing so.
                let gained = slope - self.slope;
                let ahead = if gained > 0.0 { self.step * -self.slope / gained } else { f64::INFINITY };
                ahead.clamp(2.0 * self.step, LONGER * self.step)
            }
        };
        self.aim();
        Told::Searching
    }

    /// Adds `strength / 2` times the sum of squares of the elements that `penalised` picks to the function, exactly: a quadratic changes
    /// every gradient, and every kept change of one, by a multiple of what is known.
    pub fn penalise(&mut self, strength: f64, penalised: impl Fn(usize) -> bool) {
        let add = |to: &mut [f64], of: &[f64]| {
            let picked = to.iter_mut().zip(of).enumerate().filter(|(place, _)| penalised(*place));
            picked.for_each(|(_, (to, of))| *to += strength * of);
        };
        add(&mut self.gradient, &self.x);
        let squares: f64 = self.x.iter().enumerate().filter(|(place, _)| penalised(*place)).map(|(_, x)| x * x).sum();
        self.value += 0.5 * strength * squares;
        self.pairs.iter_mut().for_each(|pair| {
            add(&mut pair.change, &pair.step);
            pair.rho = 1.0 / dot(&pair.step, &pair.change);
        });
        self.pairs.retain(|pair| pair.rho.is_finite() && pair.rho > 0.0);
        self.turn();
    }

    fn accept(&mut self, value: f64, gradient: Vec<f64>) {
        let step: Vec<f64> = self.point.iter().zip(&self.x).map(|(to, from)| to - from).collect();
        let change: Vec<f64> = gradient.iter().zip(&self.gradient).map(|(to, from)| to - from).collect();
        let along = dot(&step, &change);
        if along > 1e-12 * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
            if self.pairs.len() == self.memory {
                self.pairs.pop_front();
            }
            self.pairs.push_back(Pair { step, change, rho: 1.0 / along });
        }
        self.x.copy_from_slice(&self.point);
        (self.value, self.gradient) = (value, gradient);
        self.turn();
    }

    /// Chooses the next direction, and the first trial along it.
    fn turn(&mut self) {
        let mut direction: Vec<f64> = self.gradient.iter().map(|g| -g).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let share = pair.rho * dot(&pair.step, &direction);
            add(&mut direction, -share, &pair.change);
            shares.push(share);
        }
        if let Some(last) = self.pairs.back() {
            let scale = 1.0 / (last.rho * dot(&last.change, &last.change));
            direction.iter_mut().for_each(|d| *d *= scale);
        }
        for (pair, share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let other = pair.rho * dot(&pair.change, &direction);
            add(&mut direction, share - other, &pair.step);
        }
        self.slope = dot(&direction, &self.gradient);
        if self.slope >= 0.0 && !self.pairs.is_empty() {
            self.pairs.clear();
            return self.turn();
        }
        // Without any step there is no scale yet: one unit is as good as another, and the search finds the rest.
        let long = dot(&self.gradient, &self.gradient).sqrt();
        self.step = if self.pairs.is_empty() && long > 0.0 { 1.0 / long } else { 1.0 };
        self.direction = direction;
        (self.below, self.beyond, self.trials) = ((0.0, self.slope), None, 0);
        self.aim();
    }

    fn aim(&mut self) {
        self.point.copy_from_slice(&self.x);
        add(&mut self.point, self.step, &self.direction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minimises a function of which values err as given, and gives the point, the largest slope left, and the calls it took.
    fn minimise(search: &mut Lbfgs, function: impl Fn(&[f64]) -> (f64, Vec<f64>), until: f64) -> usize {
        for calls in 1..2000 {
            let (value, gradient) = function(search.point());
            let told = search.told(value, gradient);
            if told == Told::Stalled || (told == Told::Moved && search.norm() <= until) {
                return calls;
            }
        }
        panic!("no end: the gradient is {}", search.norm());
    }

    /// Σ scaleᵢ (xᵢ − i)² / 2, badly scaled.
    fn bowl(x: &[f64]) -> (f64, Vec<f64>) {
        let scale = |place: usize| 10f64.powi(place as i32 % 5 - 2);
        let gradient: Vec<f64> = x.iter().enumerate().map(|(i, x)| scale(i) * (x - i as f64)).collect();
        (x.iter().enumerate().map(|(i, x)| 0.5 * scale(i) * (x - i as f64).powi(2)).sum(), gradient)
    }

    #[test]
    fn a_badly_scaled_bowl_is_solved_to_the_last_digits() {
        let mut search = Lbfgs::new(vec![0.0; 12], 10, 1e-15);
        let calls = minimise(&mut search, bowl, 1e-10);
        assert!(search.x().iter().enumerate().all(|(i, x)| (x - i as f64).abs() < 1e-7), "{:?}", search.x());
        assert!(calls < 60, "{calls}");
    }

    /// ln Σ exp: steep far away and nearly flat near by.
    fn steep(x: &[f64]) -> (f64, Vec<f64>) {
        let powers: Vec<f64> = x.iter().flat_map(|x| [(30.0 * (x - 1.0)).exp(), (-2.0 * x).exp()]).collect();
        let sum: f64 = powers.iter().sum::<f64>() + 1.0;
        let gradient = powers.chunks(2).map(|two| (30.0 * two[0] - 2.0 * two[1]) / sum).collect();
        (sum.ln(), gradient)
    }

    #[test]
    fn steps_that_are_too_long_or_too_short_are_mended() {
        for start in [-20.0, 0.0, 5.0, 20.0] {
            let mut search = Lbfgs::new(vec![start, -start], 5, 1e-15);
            minimise(&mut search, steep, 1e-9);
            let (_, gradient) = steep(search.x());
            assert!(largest(&gradient) <= 1e-9, "from {start}: {gradient:?}");
        }
    }

    #[test]
    fn values_that_err_do_not_stop_it_and_gradients_that_err_end_it() {
        // As an adapter that computes in f32 would have it: the value is rounded, and errs either way.
        let rough = |x: &[f64]| {
            let (value, gradient) = bowl(x);
            (f64::from((value * (1.0 + 1e-7 * (1e9 * x[3]).sin())) as f32), gradient)
        };
        let mut search = Lbfgs::new(vec![0.0; 12], 10, 1e-6);
        minimise(&mut search, rough, 1e-9);
        assert!(search.norm() <= 1e-9);
        let wrong = |x: &[f64]| {
            let (value, gradient) = bowl(x);
            (value, gradient.into_iter().enumerate().map(|(i, g)| g + 1e-5 * (1e9 * x[i]).sin()).collect())
        };
        let mut search = Lbfgs::new(vec![0.0; 12], 10, 1e-15);
        minimise(&mut search, wrong, 1e-12);
        assert!(search.norm() < 1e-3, "it ends near the minimum: {}", search.norm());
    }

    #[test]
    fn a_penalty_is_added_to_what_is_known() {
        let penalised = |place: usize| place != 2;
        let with = |x: &[f64]| {
            let (value, mut gradient) = bowl(x);
            let of = |place: usize| if penalised(place) { 0.3 * x[place] } else { 0.0 };
            gradient.iter_mut().enumerate().for_each(|(place, g)| *g += of(place));
            (value + (0..x.len()).map(|place| 0.5 * of(place) * x[place]).sum::<f64>(), gradient)
        };
        let mut search = Lbfgs::new(vec![0.0; 12], 6, 1e-15);
        minimise(&mut search, bowl, 1e-6);
        search.penalise(0.3, penalised);
        let (value, gradient) = with(search.x());
        assert!((search.value() - value).abs() < 1e-9 && (search.norm() - largest(&gradient)).abs() < 1e-9);
        minimise(&mut search, with, 1e-9);
        assert!(largest(&with(search.x()).1) <= 1e-9);
    }
}
