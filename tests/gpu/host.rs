//! What a device says when it fails reaches the caller.

use kernels::{Error, Family, ReduceSum, ReduceSumDesc, wgpu::Limits};
use testkit::gpu_with;

#[test]
fn parameters_that_could_not_be_written_are_an_error() {
    let gpu = gpu_with(Limits::default());
    let (a, output) = (gpu.upload(&[1f32; 8]), gpu.output(4));
    let plan = ReduceSum::new(&gpu.context(Family::Tiled), &ReduceSumDesc { rows: 2, columns: 4 }).unwrap();
    gpu.device.destroy();
    let error = plan.bind(a.slice(..), output.slice()).unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error:?}");
    assert_eq!(error.to_string(), "the device failed while filling a buffer");
    assert!(std::error::Error::source(&error).is_some());
}
