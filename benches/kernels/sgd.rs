//! `sgd` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{
    Family, Sgd, SgdBuffers, SgdDesc,
    reference::{self, Expected},
};
use testkit::{Samples, assert_close, gpu};

/// A head of 512 features for 5 classes with its bias, and one for 1,000; elements are parameters.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    for len in [513 * 5, 513 * 1000] {
        let desc = SgdDesc { momentum: 0.9, nesterov: true, weight_decay: 1e-4, ..SgdDesc::new(len) };
        let mut samples = Samples::new(1);
        let (start, gradient) = (samples.vec(len as usize), samples.vec(len as usize));
        let (param, grad, momentum) = (gpu.output(start.len()), gpu.upload(&gradient), gpu.output(start.len()));
        gpu.write(&param, &start);
        let buffers = SgdBuffers { param: param.slice(), grad: grad.slice(..), momentum: Some(momentum.slice()) };
        let update = Sgd::new(&gpu.context(Family::Tiled), &desc).unwrap().bind(&buffers).unwrap();
        update.set_step(&gpu.queue, 0.1, 1);
        gpu.run([update.commands()]);
        let [mut expected, mut state] = [&start, &gradient].map(|values| Expected::exact(values));
        reference::sgd(&desc, (0.1, 1), &mut expected, &gradient, &mut state);
        assert_close("param", &gpu.read(&param), &expected);
        assert_close("momentum", &gpu.read(&momentum), &state);
        update.set_step(&gpu.queue, 1e-6, 2);
        let elements = Throughput::Elements(u64::from(len));
        super::time(criterion, gpu, ("sgd", &len.to_string()), elements, update.commands());
    }
}
