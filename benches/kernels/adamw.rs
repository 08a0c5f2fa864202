//! `adamw` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{
    AdamW, AdamWBuffers, AdamWDesc, Family,
    reference::{self, Expected},
};
use testkit::{Samples, assert_close, gpu};

/// A head of 512 features for 5 classes with its bias, and one for 1,000; elements are parameters.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    for len in [513 * 5, 513 * 1000] {
        let desc = AdamWDesc::new(len);
        let mut samples = Samples::new(1);
        let (start, gradient) = (samples.vec(len as usize), samples.vec(len as usize));
        let zeros = vec![0.0; start.len()];
        let [param, exp_avg, exp_avg_sq] = [&start, &zeros, &zeros].map(|values| {
            let output = gpu.output(values.len());
            gpu.write(&output, values);
            output
        });
        let grad = gpu.upload(&gradient);
        let buffers = AdamWBuffers {
            param: param.slice(),
            grad: grad.slice(..),
            exp_avg: exp_avg.slice(),
            exp_avg_sq: exp_avg_sq.slice(),
        };
        let update = AdamW::new(&gpu.context(Family::Tiled), &desc).unwrap().bind(&buffers).unwrap();
        update.set_step(&gpu.queue, 1e-3, 1);
        gpu.run([update.commands()]);
        let [mut expected, mut mean, mut square] = [&start, &zeros, &zeros].map(|values| Expected::exact(values));
        reference::adamw(&desc, (1e-3, 1), &mut expected, &gradient, [&mut mean, &mut square]);
        assert_close("param", &gpu.read(&param), &expected);
        assert_close("exp_avg", &gpu.read(&exp_avg), &mean);
        assert_close("exp_avg_sq", &gpu.read(&exp_avg_sq), &square);
        let elements = Throughput::Elements(u64::from(len));
        super::time(criterion, gpu, ("adamw", &len.to_string()), elements, update.commands());
    }
}
