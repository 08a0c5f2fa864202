//! WGSL compute kernels for neural networks, as data.
//!
//! Each file is complete and valid as it stands; its header states the formula, the layouts, the dispatch geometry and
//! the limits. This package holds no code: `kernels` wraps them for wgpu, any other host may embed the text.
//!
//! ```
//! for shader in shaders::ALL {
//!     assert!(shader.source.contains("@compute"), "{}", shader.name);
//! }
//! ```

/// A WGSL file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shader {
    /// The file's name without `.wgsl`.
    pub name: &'static str,
    /// The file's text.
    pub source: &'static str,
}

/// Declares a const for each file, and the list of them all.
macro_rules! shaders {
    ($($constant:ident $name:literal: $doc:literal;)*) => {
        $(
            #[doc = $doc]
            pub const $constant: Shader =
                Shader { name: $name, source: include_str!(concat!("../", $name, ".wgsl")) };
        )*
        /// Every file of this package, by name.
        pub const ALL: &[Shader] = &[$($constant),*];
    };
}

shaders! {
    CONV2D_TEXTURE "conv2d_texture": "Convolution for software adapters: pixels in a linear texture.";
    MATMUL "matmul": "Matrix product for GPUs: tiles in workgroup memory.";
    MATMUL_TEXTURE "matmul_texture": "Matrix product for software adapters: operands in linear textures.";
    PACK "pack": "Strided matrices into padded rows and panels.";
}
