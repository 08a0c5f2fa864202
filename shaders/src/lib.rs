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
    ADAMW "adamw": "Step of Adam with decoupled weight decay.";
    ADD_RELU "add_relu": "Sum of two tensors, with or without ReLU.";
    AVG_POOL2D "avg_pool2d": "Mean over sliding windows.";
    CONV2D "conv2d": "Convolution for GPUs: an implicit matrix product.";
    CONV2D_COOPERATIVE "conv2d_cooperative": "Convolution of f16 tensors on cooperative matrices (tensor cores).";
    CONV2D_GROUPED "conv2d_grouped": "Convolution of narrow groups for GPUs.";
    CONV2D_TEXTURE "conv2d_texture": "Convolution for software adapters: pixels in a linear texture.";
    CONV2D_WINOGRAD "conv2d_winograd": "Winograd transforms of 3x3 convolutions for GPUs.";
    CONV2D_WINOGRAD_TEXTURE "conv2d_winograd_texture": "Winograd transforms for software adapters.";
    DENSE "dense": "Rows picked out of a table, for GPUs.";
    DENSE_TEXTURE "dense_texture": "Dense layer on picked rows, and its gradient, for software adapters.";
    GLOBAL_AVG_POOL2D "global_avg_pool2d": "Mean over all pixels.";
    MATMUL "matmul": "Matrix product for GPUs: tiles in workgroup memory.";
    MATMUL_TEXTURE "matmul_texture": "Matrix product for software adapters: operands in linear textures.";
    MAX_POOL2D "max_pool2d": "Max-pooling for GPUs.";
    MAX_POOL2D_TEXTURE "max_pool2d_texture": "Max-pooling for software adapters: input in a linear texture.";
    NORMALIZE "normalize": "Photos as bytes to normalised pixels.";
    PACK "pack": "Strided matrices into padded rows and panels.";
    REDUCE_SUM "reduce_sum": "Sum over the rows of a matrix.";
    SCALE_ADD_RELU "scale_add_relu": "Gated channels plus a residual, rectified.";
    SGD "sgd": "Step of gradient descent with momentum.";
    SIGMOID_CROSS_ENTROPY "sigmoid_cross_entropy": "Loss and gradient of a classifier that tells each class by itself.";
    SOFTMAX_CROSS_ENTROPY "softmax_cross_entropy": "Loss and gradient of a classifier.";
}
