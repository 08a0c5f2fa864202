//! The CPU's vectors: what each instruction set can do, and which of them this machine has.
//!
//! A [`Simd`] is a token: whoever holds one is on a CPU that has its instructions, so that its operations are safe to call. [`Work`] is written
//! once over any of them; [`Isa::run`] compiles it for each and runs it with the best that there is.

use std::env;

use resnet::Error;

/// Channels to whose multiples activations are padded with zeros, so that every vector is whole: the lanes of the widest.
pub(crate) const QUANTUM: usize = 16;

/// Pads a number of channels, or of columns, to whole vectors.
pub(crate) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(QUANTUM)
}

/// The most vectors of columns that a tile has.
pub(crate) const VECTORS: usize = 2;

/// Vectors of `LANES` numbers in f32.
pub(crate) trait Simd: Copy + Send + Sync {
    /// A vector.
    type Vector: Copy;
    /// Numbers of a vector.
    const LANES: usize;
    /// Rows of a tile of products, which with [`VECTORS`] columns fills the registers.
    const ROWS: usize;
    /// Gives the same number in each lane.
    fn splat(self, value: f32) -> Self::Vector;
    /// Reads [`LANES`](Self::LANES) numbers.
    ///
    /// # Safety
    /// They lie there.
    unsafe fn read(self, from: *const f32) -> Self::Vector;
    /// Writes [`LANES`](Self::LANES) numbers.
    ///
    /// # Safety
    /// They have a place there, which nothing else uses meanwhile.
    unsafe fn write(self, value: Self::Vector, to: *mut f32);
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Computes `a · b + c`, rounded once where the instruction set can.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Computes the larger of zero and `a`. NaN stays NaN.
    fn relu(self, a: Self::Vector) -> Self::Vector;

    /// Reads the first numbers of a slice.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::Vector {
        assert!(from.len() >= Self::LANES, "a vector's numbers");
        // SAFETY: as many lie in the slice.
        unsafe { self.read(from.as_ptr()) }
    }

    /// Writes the first numbers of a slice.
    #[inline(always)]
    fn store(self, value: Self::Vector, to: &mut [f32]) {
        assert!(to.len() >= Self::LANES, "a vector's numbers");
        // SAFETY: as many have a place in the slice, which is borrowed for it.
        unsafe { self.write(value, to.as_mut_ptr()) }
    }
}

/// Something to compute on any instruction set. `run` must be `#[inline(always)]`, as all that it calls: so it is compiled for each.
pub(crate) trait Work {
    /// Computes it.
    fn run<S: Simd>(self, simd: S);
}

/// An instruction set that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Sse2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    Plain,
}

impl Isa {
    /// Gives the one that the environment variable `REHEAD_CPU` names, or the best that this CPU has.
    ///
    /// # Errors
    /// [`Error::Options`] where that names none of this CPU's.
    pub fn chosen() -> Result<Self, Error> {
        let all = Isa::all();
        let Some(named) = env::var_os("REHEAD_CPU").filter(|named| !named.is_empty()) else { return Ok(all[0]) };
        all.iter().copied().find(|isa| named == isa.name()).ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|isa| isa.name()).collect();
            Error::Options(format!("REHEAD_CPU is {named:?}; this CPU has {}", names.join(", ")))
        })
    }

    /// Lists what this CPU has, the best first: one at least.
    pub fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let kinds = {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = avx2 && is_x86_feature_detected!("avx512f");
            [(Kind::Avx512, avx512), (Kind::Avx2, avx2), (Kind::Sse2, true)]
        };
        #[cfg(target_arch = "aarch64")]
        let kinds = [(Kind::Neon, true)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let kinds = [(Kind::Plain, true)];
        kinds.into_iter().filter(|(_, had)| *had).map(|(kind, _)| Isa(kind)).collect()
    }

    /// Gives its name, as `REHEAD_CPU` takes it.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2 => "sse2",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            Kind::Plain => "plain",
        }
    }

    /// Counts the numbers of a vector.
    pub fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 8,
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            _ => 4,
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            Kind::Plain => 4,
        }
    }

    /// Computes something with it.
    pub fn run(self, work: impl Work) {
        match self.0 {
            // SAFETY: an `Isa` is made by `all` alone, which asks the CPU.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { x86::avx512(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { x86::avx2(work) },
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2 => x86::sse2(work),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => arm::neon(work),
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            Kind::Plain => work.run(plain::Plain(())),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Simd, Work};
    use std::arch::x86_64::*;

    /// Is had only where the CPU has AVX-512 F.
    #[derive(Clone, Copy)]
    pub struct Avx512(());
    /// Is had only where the CPU has AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub struct Avx2(());
    /// SSE2 is part of x86-64.
    #[derive(Clone, Copy)]
    pub struct Sse2(());

    #[target_feature(enable = "avx512f,avx2,fma")]
    pub fn avx512(work: impl Work) {
        work.run(Avx512(()));
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2(work: impl Work) {
        work.run(Avx2(()));
    }

    pub fn sse2(work: impl Work) {
        work.run(Sse2(()));
    }

    macro_rules! simd {
        ($token:ty, $vector:ty, $lanes:expr, $rows:expr, {
            $splat:ident $read:ident $write:ident $add:ident $sub:ident $max:ident $zero:ident
        }, $mul_add:expr) => {
            // SAFETY of each block: whoever has a token is on a CPU that has its instructions. Places are the caller's promise.
            #[allow(unused_unsafe, reason = "SSE2 is always there")]
            impl Simd for $token {
                type Vector = $vector;
                const LANES: usize = $lanes;
                const ROWS: usize = $rows;
                #[inline(always)]
                fn splat(self, value: f32) -> $vector {
                    // SAFETY: see above.
                    unsafe { $splat(value) }
                }
                #[inline(always)]
                unsafe fn read(self, from: *const f32) -> $vector {
                    // SAFETY: see above.
                    unsafe { $read(from) }
                }
                #[inline(always)]
                unsafe fn write(self, value: $vector, to: *mut f32) {
                    // SAFETY: see above.
                    unsafe { $write(to, value) }
                }
                #[inline(always)]
                fn add(self, a: $vector, b: $vector) -> $vector {
                    // SAFETY: see above.
                    unsafe { $add(a, b) }
                }
                #[inline(always)]
                fn sub(self, a: $vector, b: $vector) -> $vector {
                    // SAFETY: see above.
                    unsafe { $sub(a, b) }
                }
                #[inline(always)]
                fn mul_add(self, a: $vector, b: $vector, c: $vector) -> $vector {
                    // SAFETY: see above.
                    unsafe { $mul_add(a, b, c) }
                }
                #[inline(always)]
                fn relu(self, a: $vector) -> $vector {
                    // The second operand is what comes of a NaN. SAFETY: see above.
                    unsafe { $max($zero(), a) }
                }
            }
        };
    }

    simd!(Avx512, __m512, 16, 12, {
        _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_sub_ps _mm512_max_ps _mm512_setzero_ps
    }, _mm512_fmadd_ps);
    simd!(Avx2, __m256, 8, 6, {
        _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_sub_ps _mm256_max_ps _mm256_setzero_ps
    }, _mm256_fmadd_ps);
    simd!(Sse2, __m128, 4, 6, {
        _mm_set1_ps _mm_loadu_ps _mm_storeu_ps _mm_add_ps _mm_sub_ps _mm_max_ps _mm_setzero_ps
    }, |a, b, c| _mm_add_ps(_mm_mul_ps(a, b), c));
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::{Simd, Work};
    use std::arch::aarch64::*;

    /// NEON is part of 64-bit ARM.
    #[derive(Clone, Copy)]
    pub struct Neon(());

    pub fn neon(work: impl Work) {
        work.run(Neon(()));
    }

    impl Simd for Neon {
        type Vector = float32x4_t;
        const LANES: usize = 4;
        const ROWS: usize = 12;
        #[inline(always)]
        fn splat(self, value: f32) -> float32x4_t {
            // SAFETY: every such CPU has NEON.
            unsafe { vdupq_n_f32(value) }
        }
        #[inline(always)]
        unsafe fn read(self, from: *const f32) -> float32x4_t {
            // SAFETY: the caller's promise.
            unsafe { vld1q_f32(from) }
        }
        #[inline(always)]
        unsafe fn write(self, value: float32x4_t, to: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe { vst1q_f32(to, value) }
        }
        #[inline(always)]
        fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: every such CPU has NEON.
            unsafe { vaddq_f32(a, b) }
        }
        #[inline(always)]
        fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: every such CPU has NEON.
            unsafe { vsubq_f32(a, b) }
        }
        #[inline(always)]
        fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            // SAFETY: every such CPU has NEON.
            unsafe { vfmaq_f32(c, a, b) }
        }
        #[inline(always)]
        fn relu(self, a: float32x4_t) -> float32x4_t {
            // It gives NaN where an operand is. SAFETY: every such CPU has NEON.
            unsafe { vmaxq_f32(vdupq_n_f32(0.0), a) }
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod plain {
    use super::Simd;
    use std::array::from_fn;

    /// Four numbers, left to the compiler.
    #[derive(Clone, Copy)]
    pub struct Plain(pub ());

    impl Simd for Plain {
        type Vector = [f32; 4];
        const LANES: usize = 4;
        const ROWS: usize = 4;
        #[inline(always)]
        fn splat(self, value: f32) -> [f32; 4] {
            [value; 4]
        }
        #[inline(always)]
        unsafe fn read(self, from: *const f32) -> [f32; 4] {
            // SAFETY: the caller's promise.
            unsafe { from.cast::<[f32; 4]>().read_unaligned() }
        }
        #[inline(always)]
        unsafe fn write(self, value: [f32; 4], to: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe { to.cast::<[f32; 4]>().write_unaligned(value) }
        }
        #[inline(always)]
        fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
            from_fn(|i| a[i] + b[i])
        }
        #[inline(always)]
        fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
            from_fn(|i| a[i] - b[i])
        }
        #[inline(always)]
        fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
            from_fn(|i| a[i] * b[i] + c[i])
        }
        #[inline(always)]
        fn relu(self, a: [f32; 4]) -> [f32; 4] {
            from_fn(|i| if a[i] < 0.0 { 0.0 } else { a[i] })
        }
    }
}
