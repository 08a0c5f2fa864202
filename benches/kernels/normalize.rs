//! `normalize` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{Family, Normalize, NormalizeDesc, reference};
use testkit::{assert_close, gpu};

/// A batch of photos to padded NHWC; bytes read and written, each once.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    let desc = NormalizeDesc::new(8 * 224 * 224);
    let bytes: Vec<u8> = (0..desc.pixels * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let table: [[f32; 256]; 3] = std::array::from_fn(|c| std::array::from_fn(|x| x as f32 / 255.0 - c as f32));
    let (input, tables) = (gpu.upload(&bytes), gpu.upload(table.as_flattened()));
    let output = gpu.output(desc.output_words() as usize);
    let commands = Normalize::new(&gpu.context(Family::Tiled), &desc)
        .and_then(|plan| plan.bind(input.slice(..), tables.slice(..), output.slice()))
        .unwrap();
    gpu.run([&commands]);
    assert_close("normalize", &gpu.read(&output), &reference::normalize(&desc, &bytes, &table));
    let moved = Throughput::Bytes((desc.input_words() + desc.output_words()) * 4);
    super::time(criterion, gpu, ("normalize", "8x224x224 RGB to NHWC"), moved, &commands);
}
