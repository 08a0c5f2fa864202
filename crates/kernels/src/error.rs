//! The crate's error: what a caller can get wrong, and what a device can.

use std::fmt;

/// What a caller can get wrong, and what a device can. Every message of the first kind names the operation, the operand, what was expected
/// and what came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape that the operation is not defined for.
    #[error("{op}: {message}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// What is wrong, with the sizes.
        message: String,
    },
    /// A buffer (or host slice) that holds fewer or more elements than the descriptor says.
    #[error("{op}: {operand} needs {expected} bytes, the slice has {got}")]
    Size {
        /// The operation.
        op: &'static str,
        /// The operand.
        operand: &'static str,
        /// Bytes that the descriptor asks for.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
    /// A buffer created without a usage that the operation needs.
    #[error("{op}: the buffer of {operand} has usages {got}, it also needs {missing}")]
    Usage {
        /// The operation.
        op: &'static str,
        /// The operand.
        operand: &'static str,
        /// The usage it lacks.
        missing: String,
        /// The usages it has.
        got: String,
    },
    /// A buffer slice that starts where the device can't bind it.
    #[error("{op}: {operand} starts at byte {offset}, the device binds at multiples of {alignment}")]
    Alignment {
        /// The operation.
        op: &'static str,
        /// The operand.
        operand: &'static str,
        /// Where the slice starts.
        offset: u64,
        /// `min_storage_buffer_offset_alignment` of the device.
        alignment: u64,
    },
    /// An operand that is written lies in a buffer that is read too.
    #[error("{op}: {written} and {read} lie in one buffer; what is written needs a buffer of its own")]
    Alias {
        /// The operation.
        op: &'static str,
        /// The operand that is written.
        written: &'static str,
        /// The other.
        read: &'static str,
    },
    /// Work that can't be split under a limit of the device.
    #[error("{op}: {what} is {needed}, the device's {limit} allows {allowed}")]
    Limit {
        /// The operation.
        op: &'static str,
        /// The quantity.
        what: &'static str,
        /// How much the work needs.
        needed: u64,
        /// The name of the limit.
        limit: &'static str,
        /// The limit.
        allowed: u64,
    },
    /// A kernel family that was forced on a device which lacks what it needs.
    #[error(
        "{op}: the texture kernels need the device feature SUBGROUP and subgroups of 4, 8 or 16 lanes; use Tune::for_device or Family::Tiled"
    )]
    Feature {
        /// The operation.
        op: &'static str,
    },
    /// A device on which all would run several times slower than it could.
    #[error(
        "a software adapter's device was made without SUBGROUP, with which it is several times faster: ask for kernels::wanted_features(&adapter) in \
         required_features, or take Context::with_tune"
    )]
    Slow,
    /// The device failed or refused: an invalid command, a buffer that can't be mapped.
    #[error("{what} failed")]
    Device {
        /// What the device was asked to do.
        what: &'static str,
        /// What it says.
        #[source]
        cause: Cause,
    },
    /// The device is gone.
    #[error("the device was lost: {message}")]
    Lost {
        /// What its driver says.
        message: String,
    },
    /// The device has no memory left for what was asked of it.
    #[error("the device is out of memory")]
    OutOfMemory {
        /// What it says.
        #[source]
        cause: Cause,
    },
    /// `encode_in_pass` was called on work that copies between its passes.
    #[error("{op}: holds copies between passes; record it with Commands::encode into a command encoder")]
    NeedsEncoder {
        /// The operation.
        op: &'static str,
    },
}

/// What a device or its driver said, and what lay behind that: a copy, so that it can be kept and told again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Cause {
    message: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    /// Copies the message of an error and of all that it names as its source.
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        Cause { message: error.to_string(), source: error.source().map(|source| Box::new(Cause::of(source))) }
    }
}

impl From<String> for Cause {
    fn from(message: String) -> Self {
        Cause { message, source: None }
    }
}

impl Error {
    /// Makes an [`Error::Device`] of an error of wgpu's.
    pub(crate) fn device(what: &'static str, error: &dyn std::error::Error) -> Self {
        Error::Device { what, cause: Cause::of(error) }
    }

    pub(crate) fn shape(op: &'static str, message: impl fmt::Display) -> Self {
        Error::Shape { op, message: message.to_string() }
    }

    /// Gives [`Error::Limit`] unless what is needed is allowed.
    pub(crate) fn limit(
        op: &'static str,
        what: &'static str,
        needed: u64,
        limit: &'static str,
        allowed: u64,
    ) -> Result<(), Self> {
        if needed > allowed { Err(Error::Limit { op, what, needed, limit, allowed }) } else { Ok(()) }
    }
}
