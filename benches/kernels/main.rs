//! Each kernel on the machine's adapter, in each family that it runs. The answer is checked before anything is timed.
//!
//! `cargo bench --bench kernels -- matmul` runs one kernel; "elements" are floating-point operations (or bytes where the
//! name says so), so that Gelem/s reads as GFLOP/s.

mod adamw;
mod add_relu;
mod avg_pool2d;
mod conv2d;
mod dense;
mod global_avg_pool2d;
mod matmul;
mod max_pool2d;
mod measure;
mod normalize;
mod pack;
mod reduce_sum;
mod scale_add_relu;
mod sgd;
mod sigmoid_cross_entropy;
mod softmax_cross_entropy;

use criterion::Criterion;
use measure::time;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let info = testkit::gpu().device.adapter_info();
    eprintln!("{} | {:?} | {} {}", info.name, info.device_type, info.driver, info.driver_info);
    adamw::bench(&mut criterion);
    add_relu::bench(&mut criterion);
    avg_pool2d::bench(&mut criterion);
    conv2d::bench(&mut criterion);
    dense::bench(&mut criterion);
    global_avg_pool2d::bench(&mut criterion);
    matmul::bench(&mut criterion);
    max_pool2d::bench(&mut criterion);
    normalize::bench(&mut criterion);
    pack::bench(&mut criterion);
    reduce_sum::bench(&mut criterion);
    scale_add_relu::bench(&mut criterion);
    sgd::bench(&mut criterion);
    sigmoid_cross_entropy::bench(&mut criterion);
    softmax_cross_entropy::bench(&mut criterion);
    criterion.final_summary();
}
