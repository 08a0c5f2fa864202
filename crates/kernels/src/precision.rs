//! How the numbers of a tensor are stored: f32, or f16 in pairs.

/// How the numbers of an operation's tensors are stored. Arithmetic is f32 in either.
///
/// An **f16 tensor** is NHWC as an f32 one, each pixel padded with zeros to a multiple of 4 channels: two numbers in a
/// 32-bit word, the even channel in the lower half. It needs no feature of the device, for `pack2x16float` and
/// `unpack2x16float` are part of WGSL.
///
/// f16 has 11 significant bits: rounding to it moves a number by a relative 2^-11, or 2^-10 where the driver cuts instead of
/// rounding, which WGSL allows; below 2^-14 a number may become 0. Beyond 65,504 a number becomes infinite or NaN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32 bits a number, as they are computed.
    #[default]
    F32,
    /// 16 bits a number: half the memory, half the traffic. For the [tiled family](crate::Family::Tiled) only.
    F16,
}

impl Precision {
    /// Gives its name in options, records and messages: `f32` or `f16`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
        }
    }

    /// Counts the 32-bit words of a pixel.
    ///
    /// ```
    /// use kernels::Precision;
    /// assert_eq!((Precision::F32.words(3), Precision::F16.words(3), Precision::F16.words(64)), (3, 2, 32));
    /// ```
    pub fn words(self, channels: u32) -> u32 {
        match self {
            Precision::F32 => channels,
            Precision::F16 => channels.next_multiple_of(4) / 2,
        }
    }
}

/// Packs whole pixels into an f16 tensor, rounded to the nearest, for hosts that upload one; [`from_halves`] unpacks it.
///
/// ```
/// let words = kernels::halves(&[0.5, -2.0, 1e-3], 3);
/// assert_eq!(words, [0xc000_3800, 0x0000_1419]);
/// assert_eq!(kernels::from_halves(&words, 3), [0.5, -2.0, 1.0004044e-3]);
/// ```
pub fn halves(values: &[f32], channels: usize) -> Vec<u32> {
    let pair = |pair: &[f32]| {
        let bits = |i: usize| u32::from(half::f16::from_f32(pair.get(i).copied().unwrap_or_default()).to_bits());
        bits(0) | bits(1) << 16
    };
    let padding = (channels.next_multiple_of(4) - channels) / 2;
    let pixel =
        |pixel: &[f32]| -> Vec<u32> { pixel.chunks(2).map(pair).chain(std::iter::repeat_n(0, padding)).collect() };
    values.chunks(channels.max(1)).flat_map(pixel).collect()
}

/// Unpacks an f16 tensor, exactly: the inverse of [`halves`].
pub fn from_halves(words: &[u32], channels: usize) -> Vec<f32> {
    let number = |bits: u32| half::f16::from_bits(bits as u16).to_f32();
    let width = channels.next_multiple_of(4) / 2;
    let pixel = |pixel: &[u32]| {
        pixel.iter().flat_map(|word| [number(word & 0xffff), number(word >> 16)]).take(channels).collect::<Vec<_>>()
    };
    words.chunks(width.max(1)).flat_map(pixel).collect()
}
