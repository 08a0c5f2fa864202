//! Heads and how they are judged, against scikit-learn and SciPy.

mod discriminants;
mod judged;
mod optima;
