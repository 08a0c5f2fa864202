//! `pack` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{Family, Pack, PackDesc, reference};
use testkit::{Samples, assert_close, gpu};

/// A batch of photos from NCHW to padded NHWC; bytes read and written, each once.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    let desc = PackDesc::nchw_to_nhwc(8, 3, 224, 224);
    let input = Samples::new(1).vec(desc.input_len() as usize);
    let (buffer, output) = (gpu.upload(&input), gpu.output(desc.output_len() as usize));
    let commands = Pack::new(&gpu.context(Family::Tiled), &desc)
        .and_then(|plan| plan.bind(buffer.slice(..), output.slice()))
        .unwrap();
    gpu.run([&commands]);
    assert_close("pack", &gpu.read(&output), &reference::pack(&desc, &input));
    let bytes = Throughput::Bytes((desc.input_len() + desc.output_len()) * 4);
    super::time(criterion, gpu, ("pack", "8x3x224x224 NCHW to NHWC"), bytes, &commands);
}
