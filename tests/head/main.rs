//! Heads and how they are judged, against scikit-learn and SciPy.

mod judged;
mod optima;
