//! The parameters of the shaders, each declared once for Rust and for the test that compares it with the WGSL.

/// Layout of a `Params` struct on the Rust side, to be compared with the shader's.
#[cfg(feature = "reference")]
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct ParamsLayout {
    /// The shader's name.
    pub shader: &'static str,
    /// Bytes in all.
    pub size: usize,
    /// Name and offset of every field; names that start with `pad` are padding.
    pub fields: &'static [(&'static str, usize)],
}

/// Declares the struct of a uniform as `params! { SHADER: struct Params { field: u32, … } }`, with several shaders where
/// they share it.
macro_rules! params {
    ($($shader:ident),+: struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[repr(C)]
        #[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type),*
        }

        #[cfg(feature = "reference")]
        impl $name {
            const FIELDS: &[(&str, usize)] = &[$((stringify!($field), std::mem::offset_of!($name, $field))),*];

            pub(crate) const LAYOUTS: &[crate::params::ParamsLayout] = &[$(crate::params::ParamsLayout {
                shader: shaders::$shader.name,
                size: size_of::<$name>(),
                fields: $name::FIELDS,
            }),+];
        }
    };
}
pub(crate) use params;
