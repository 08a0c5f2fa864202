//! `matmul` on the adapter against its twin.

use kernels::{
    Context, Error, Family, Matmul, MatmulBuffers, MatmulDesc, Tile, TuneTable, Variant, reference, wgpu::Limits,
};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

/// Computes a product in every way and compares; gives the dispatches of the first.
fn check(gpu: &Gpu, family: Family, desc: &MatmulDesc, seed: u64) -> usize {
    let mut samples = Samples::new(seed);
    let size = |a: u32, b: u32| (desc.batch * a * b) as usize;
    let a = samples.vec(size(desc.m, desc.k));
    let b = samples.vec(size(desc.k, desc.n));
    let bias = desc.bias.then(|| samples.vec(desc.n as usize));
    let (gpu_a, gpu_b) = (gpu.upload(&a), gpu.upload(&b));
    let gpu_bias = bias.as_ref().map(|bias| gpu.upload(bias));
    let expected = reference::matmul(desc, &a, &b, bias.as_deref());
    let matmul = Matmul::new(gpu.shared_context(family), desc).unwrap();
    assert_eq!(matmul.variant(), matmul.variants()[0]);
    let variants = [matmul.variants(), splits(&matmul)].concat();
    let dispatches = variants.into_iter().map(|variant| {
        let output = gpu.output(size(desc.m, desc.n));
        let buffers = MatmulBuffers {
            a: gpu_a.slice(..),
            b: gpu_b.slice(..),
            bias: gpu_bias.as_ref().map(|bias| bias.slice(..)),
            output: output.slice(),
        };
        let commands = matmul.with_variant(variant).unwrap().bind(&buffers).unwrap();
        gpu.run([&commands]);
        assert_close(&format!("{family:?} {variant} {desc:?}"), &gpu.read(&output), &expected);
        commands.dispatches()
    });
    dispatches.collect::<Vec<_>>()[0]
}

/// Lists variants in parts that are not worth it but possible: every tile, numbers of parts that divide the terms and that don't.
fn splits(matmul: &Matmul) -> Vec<Variant> {
    let possible = |variant: &Variant| matmul.with_variant(*variant).is_ok();
    let split = |variant| match variant {
        Variant::Direct(tile) => [2, 3, 4].map(|parts| Variant::Split { tile, parts }).to_vec(),
        _ => Vec::new(),
    };
    matmul.variants().into_iter().flat_map(split).filter(possible).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn ragged_shapes(
        batch in 1u32..4, m in 1u32..70, k in 1u32..70, n in 1u32..70,
        transpose_a: bool, transpose_b: bool, bias: bool, seed: u64,
    ) {
        let desc = MatmulDesc { batch, m, k, n, transpose_a, transpose_b, bias };
        for family in gpu().families() {
            check(gpu(), family, &desc, seed);
        }
    }
}

#[test]
fn tile_edges() {
    for (m, k, n) in [(1, 1, 1), (16, 4, 64), (17, 5, 65), (64, 16, 64), (63, 15, 63), (128, 64, 132), (129, 33, 64)] {
        for family in gpu().families() {
            for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
                let desc = MatmulDesc { transpose_a, transpose_b, ..MatmulDesc::new(m, k, n) };
                check(gpu(), family, &desc, 7);
            }
        }
    }
}

#[test]
fn work_beyond_a_binding_is_split() {
    let limits = Limits { max_storage_buffer_binding_size: 16 << 10, ..Limits::default() };
    let narrow = gpu_with(limits);
    for family in narrow.families() {
        for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
            let desc = MatmulDesc { batch: 2, transpose_a, transpose_b, bias: true, ..MatmulDesc::new(130, 70, 90) };
            let dispatches = check(&narrow, family, &desc, 3);
            assert!(dispatches > 2, "{family:?}: {dispatches} dispatches");
        }
    }
}

/// Few workgroups of long sums: on many cores they are split without a table.
#[test]
fn many_cores_split_small_outputs() {
    let mut tune = testkit::tune(Family::Tiled);
    tune.many_cores = true;
    let context = Context::with_tune(&gpu().device, tune);
    let variant = |m, k, n| Matmul::new(&context, &MatmulDesc::new(m, k, n)).unwrap().variant().to_string();
    assert_eq!(variant(64, 2048, 64), "direct 64x64 k8");
    assert_eq!(variant(20, 2048, 640), "direct 32x64 k8");
    assert_eq!(variant(640, 2048, 640), "direct 64x64 k3");
    assert_eq!(variant(64, 511, 64), "direct 64x64");
    assert_eq!(variant(2048, 2048, 640), "direct 64x64");
}

#[test]
fn a_table_chooses_for_its_class_alone() {
    let plan = |table: TuneTable, m: u32| {
        let mut tune = testkit::tune(Family::Tiled);
        tune.table = table;
        Matmul::new(&Context::with_tune(&gpu().device, tune), &MatmulDesc::new(m, 20, 30)).unwrap()
    };
    let default = plan(TuneTable::new(), 40);
    let other = default.variants()[1];
    let table = TuneTable::from([(default.class(), other)]);
    assert_eq!(plan(table.clone(), 64).variant(), other);
    assert_eq!(plan(table, 65).variant(), default.variant());
    let foreign =
        TuneTable::from([(default.class(), Variant::Winograd { tile: Tile { rows: 64, columns: 64 }, band: 16 })]);
    assert_eq!(plan(foreign, 64).variant(), default.variant());
    assert!(default.with_variant("direct 7x64".parse().unwrap()).is_err());
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let limits = Limits { max_compute_workgroups_per_dimension: 4, ..Limits::default() };
    let narrow = gpu_with(limits);
    for family in narrow.families() {
        // More than 4 low tiles of the texture family, and not more than 4 x 4.
        check(&narrow, family, &MatmulDesc::new(64, 8, 60), 5);
    }
}

#[test]
fn bad_input_is_an_error() {
    let gpu = gpu();
    let context = gpu.context(Family::Tiled);
    let error = Matmul::new(&context, &MatmulDesc::new(0, 4, 4)).unwrap_err();
    assert_eq!(error.to_string(), "matmul: a is empty: [1, 0, 4]");
    let matmul = Matmul::new(&context, &MatmulDesc::new(4, 4, 4)).unwrap();
    let (small, right) = (gpu.upload(&[0f32; 15]), gpu.upload(&[0f32; 16]));
    let output = gpu.output(16);
    let buffers = MatmulBuffers { a: small.slice(..), b: right.slice(..), bias: None, output: output.slice() };
    let error = matmul.bind(&buffers).unwrap_err();
    assert_eq!(error.to_string(), "matmul: a needs 64 bytes, the slice has 60");
    let buffers = MatmulBuffers { a: right.slice(..), bias: Some(right.slice(..)), ..buffers };
    assert!(matches!(matmul.bind(&buffers), Err(Error::Shape { .. })));
}
