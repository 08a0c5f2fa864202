//! Who watches long work: the interpreter, which is told warnings and asked for signals.

use std::cell::RefCell;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pyo3::PyErr;
use pyo3::exceptions::PyUserWarning;
use pyo3::ffi::c_str;
use pyo3::prelude::*;
use trainer::Progress;

/// Python, as a library sees it that works while others may hold the interpreter.
pub(crate) struct Interpreter;

/// How often the interpreter is asked for signals, at most: that takes its lock.
const PAUSE: Duration = Duration::from_millis(100);

thread_local! {
    /// What a signal's handler raised: Ctrl-C raises `KeyboardInterrupt`.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Takes what a signal's handler raised during the last work of this thread.
pub(crate) fn raised() -> Option<PyErr> {
    RAISED.take()
}

impl Progress for Interpreter {
    fn warn(&self, message: &str) {
        Python::attach(|py| {
            let text = std::ffi::CString::new(message).unwrap_or_else(|_| c_str!("a warning that holds a NUL").into());
            // Where warnings are made errors, this one can't end work under way: it is told all the same.
            if let Err(error) = PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 1) {
                error.write_unraisable(py, None);
            }
        });
    }

    fn cancelled(&self) -> bool {
        static ASKED: Mutex<Option<Instant>> = Mutex::new(None);
        let Ok(mut asked) = ASKED.try_lock() else { return false };
        if asked.is_some_and(|asked| asked.elapsed() < PAUSE) {
            return false;
        }
        *asked = Some(Instant::now());
        drop(asked);
        match Python::attach(|py| py.check_signals()) {
            Ok(()) => false,
            Err(error) => {
                RAISED.set(Some(error));
                true
            }
        }
    }
}
