//! Numbers as files of features hold them, and the shape in which they stand.

use half::{bf16, f16};

/// What values are, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    F16,
    Bf16,
    F32,
    F64,
}

impl Number {
    /// Gives the bytes of one.
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Reads numbers, rounded to f32. One that is beyond f32 becomes infinite.
    pub fn read(self, bytes: &[u8], to: &mut Vec<f32>) {
        match self {
            Self::F16 => to.extend(bytes.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32())),
            Self::Bf16 => to.extend(bytes.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes).to_f32())),
            Self::F32 => to.extend(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))),
            Self::F64 => to.extend(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32)),
        }
    }
}

/// So many rows of so many numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub rows: usize,
    pub width: usize,
    pub number: Number,
}

impl Shape {
    /// Checks that a shape is one of rows.
    ///
    /// # Errors
    /// It has other than two dimensions, or nothing in it; in words.
    pub fn of(shape: &[usize], number: Number) -> Result<Self, String> {
        match *shape {
            [rows, width] if rows > 0 && width > 0 => Ok(Self { rows, width, number }),
            [_, _] => Err(format!("its shape is {shape:?}: there is nothing in it")),
            [_] => Err(format!("its shape is {shape:?}, expected [rows, width]: `x.reshape(1, -1)` makes it one row")),
            _ => Err(format!("its shape is {shape:?}, expected [rows, width]: `x.reshape(len(x), -1)` makes it so")),
        }
    }

    /// Counts the bytes of all; none where no machine holds so many.
    pub fn bytes(&self) -> Option<usize> {
        self.rows.checked_mul(self.width)?.checked_mul(self.number.size())
    }
}
