//! The shaders as text: valid with the capabilities that they are meant to need, and in step with Rust.

use naga::{
    AddressSpace, TypeInner,
    valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator},
};
use shaders::Shader;
use std::path::Path;

fn parse(shader: &Shader) -> naga::Module {
    naga::front::wgsl::parse_str(shader.source)
        .unwrap_or_else(|error| panic!("{}: {}", shader.name, error.emit_to_string(shader.source)))
}

#[test]
fn every_shader_is_valid_with_the_capabilities_it_is_meant_to_need() {
    for shader in shaders::ALL {
        let module = parse(shader);
        // Texture kernels shuffle within subgroups, one has cooperative matrices; nothing else needs more than plain WGSL. That has packed f16, which naga
        // counts as a capability because OpenGL ES lacks it.
        let texture = shader.name.ends_with("_texture");
        let plain = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        let matrices = Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX;
        let capabilities = match shader.name {
            _ if texture => Capabilities::SUBGROUP,
            "conv2d_cooperative" => plain | matrices,
            _ => plain,
        };
        let mut validator = Validator::new(ValidationFlags::all(), capabilities);
        if texture {
            validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::SHUFFLE);
        }
        if let Err(error) = validator.validate(&module) {
            panic!("{}: {}", shader.name, error.emit_to_string(shader.source));
        }
        assert!(!module.entry_points.is_empty(), "{}", shader.name);
    }
}

/// WebGPU promises no more to a stage.
#[test]
fn no_kernel_binds_more_than_eight_storage_buffers() {
    let mut most = 0;
    for shader in shaders::ALL {
        let module = parse(shader);
        let info = Validator::new(ValidationFlags::all(), Capabilities::all())
            .subgroup_stages(ShaderStages::COMPUTE)
            .subgroup_operations(SubgroupOperationSet::SHUFFLE)
            .validate(&module)
            .unwrap();
        for (number, entry) in module.entry_points.iter().enumerate() {
            let used = |handle: naga::Handle<naga::GlobalVariable>| !info.get_entry_point(number)[handle].is_empty();
            let storage = |space| matches!(space, AddressSpace::Storage { .. });
            let variables = module.global_variables.iter();
            let count = variables.filter(|(handle, variable)| storage(variable.space) && used(*handle)).count();
            assert!(count <= 8, "{} {}: {count} storage buffers", shader.name, entry.name);
            most = most.max(count);
        }
    }
    assert!(most >= 7, "{most}: Winograd's output transform alone binds seven");
}

#[test]
fn only_texture_kernels_read_textures() {
    for shader in shaders::ALL {
        let textures = parse(shader).types.iter().any(|(_, ty)| matches!(ty.inner, TypeInner::Image { .. }));
        // pack makes the operands of the texture kernels, from textures too.
        let expected = shader.name.ends_with("_texture") || shader.name == "pack";
        assert_eq!(textures, expected, "{}", shader.name);
    }
}

#[test]
fn params_are_the_same_in_rust_and_wgsl() {
    let layouts = kernels::params_layouts();
    let mut compared = 0;
    for shader in shaders::ALL {
        let module = parse(shader);
        let uniform = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("Params"));
        let layout = layouts.iter().find(|layout| layout.shader == shader.name);
        let (Some((_, ty)), Some(layout)) = (uniform, layout) else {
            assert!(uniform.is_none() && layout.is_none(), "{}: Params are on one side only", shader.name);
            continue;
        };
        let TypeInner::Struct { members, span } = &ty.inner else { panic!("{}: Params isn't a struct", shader.name) };
        let padding =
            |name: &str| name.strip_prefix("pad").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()));
        let wgsl: Vec<_> = members
            .iter()
            .map(|member| (member.name.as_deref().unwrap_or_default(), member.offset as usize))
            .filter(|(name, _)| !padding(name))
            .collect();
        let rust: Vec<_> = layout.fields.iter().copied().filter(|(name, _)| !padding(name)).collect();
        assert_eq!(wgsl, rust, "{}: name and offset of the fields of Params", shader.name);
        assert_eq!(*span as usize, layout.size, "{}: bytes of Params", shader.name);
        assert_eq!(layout.size % 16, 0, "{}: a uniform is a multiple of 16 bytes", shader.name);
        compared += 1;
    }
    assert_eq!(compared, layouts.len(), "a layout is of no shader");
}

#[test]
fn headers_name_a_twin_that_exists() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/kernels/src/reference");
    for shader in shaders::ALL {
        let header: Vec<_> = shader.source.lines().take_while(|line| line.starts_with("//")).collect();
        let twin = header.iter().find_map(|line| line.strip_prefix("// Twin      kernels::reference::"));
        let twin = twin.unwrap_or_else(|| panic!("{}: the header names no twin", shader.name));
        let name: String = twin.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        assert!(shader.name.starts_with(&name), "{}: {name} is another operation's twin", shader.name);
        assert!(reference.join(format!("{name}.rs")).is_file(), "{}: there is no twin {name}", shader.name);
        for part in ["// Formula", "// Dispatch"] {
            assert!(header.iter().any(|line| line.starts_with(part)), "{}: the header has no {part}", shader.name);
        }
    }
}

#[test]
fn rows_of_linear_textures_are_as_long_in_rust_and_wgsl() {
    let row = kernels::linear_texture_row();
    for shader in shaders::ALL {
        let module = parse(shader);
        let constant = |name: &str| {
            let (_, constant) = module.constants.iter().find(|(_, c)| c.name.as_deref() == Some(name))?;
            match module.global_expressions[constant.init] {
                naga::Expression::Literal(naga::Literal::U32(value)) => Some(value),
                _ => None,
            }
        };
        let textures = module.types.iter().any(|(_, ty)| matches!(ty.inner, TypeInner::Image { .. }));
        match (constant("ROW_SHIFT"), constant("ROW_MASK")) {
            (Some(shift), Some(mask)) => {
                assert_eq!((1 << shift, mask), (row, row - 1), "{}: (1 << ROW_SHIFT, ROW_MASK)", shader.name);
            }
            (None, None) => assert!(!textures, "{}: reads textures without ROW_SHIFT and ROW_MASK", shader.name),
            _ => panic!("{}: has one of ROW_SHIFT and ROW_MASK", shader.name),
        }
    }
}
