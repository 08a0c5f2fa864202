//! `max_pool2d` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{MaxPool2d, MaxPool2dDesc, reference};
use testkit::{Samples, assert_close, gpu};

/// The pooling behind a ResNet's stem; bytes read and written, each once.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    let desc = MaxPool2dDesc::stem(8, 112, 112, 64);
    let input = Samples::new(1).vec(desc.input_len() as usize);
    let expected = reference::max_pool2d(&desc, &input);
    let buffer = gpu.upload(&input);
    for family in gpu.families() {
        let output = gpu.output(desc.output_len() as usize);
        let plan = MaxPool2d::new(&gpu.context(family), &desc).unwrap();
        let commands = plan.bind(buffer.slice(..), output.slice()).unwrap();
        gpu.run([&commands]);
        assert_close("max_pool2d", &gpu.read(&output), &expected);
        let bytes = Throughput::Bytes((desc.input_len() + desc.output_len()) * 4);
        super::time(criterion, gpu, ("max_pool2d", &format!("8x112x112x64 {}", family.name())), bytes, &commands);
    }
}
