//! The parameters of the shaders, each declared once for Rust and for the test that compares it with the WGSL.

/// Layout of a shader's `Params` on the Rust side, to be compared with its own.
#[cfg(feature = "reference")]
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct ParamsLayout {
    /// The shader's name.
    pub shader: &'static str,
    /// Bytes in all.
    pub size: usize,
    /// Name and offset of every field in order; `pad` is padding.
    pub fields: Vec<(&'static str, usize)>,
}

#[cfg(feature = "reference")]
impl ParamsLayout {
    pub(crate) fn of<T: Field>(shader: &shaders::Shader) -> Self {
        let mut fields = Vec::new();
        T::list("", 0, &mut fields);
        ParamsLayout { shader: shader.name, size: size_of::<T>(), fields }
    }
}

/// What may stand in a uniform: scalars, padding, and structs of them, which the WGSL holds flat.
#[cfg(feature = "reference")]
pub(crate) trait Field {
    fn list(name: &'static str, offset: usize, fields: &mut Vec<(&'static str, usize)>) {
        fields.push((name, offset));
    }
}

#[cfg(feature = "reference")]
impl Field for u32 {}
#[cfg(feature = "reference")]
impl Field for f32 {}
#[cfg(feature = "reference")]
impl<const N: usize> Field for [u32; N] {}

/// Declares the struct of a uniform.
macro_rules! params {
    (struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[repr(C)]
        #[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type),*
        }

        #[cfg(feature = "reference")]
        impl crate::params::Field for $name {
            fn list(_: &'static str, offset: usize, fields: &mut Vec<(&'static str, usize)>) {
                $(<$type>::list(stringify!($field), offset + std::mem::offset_of!($name, $field), fields);)*
            }
        }
    };
}
pub(crate) use params;
