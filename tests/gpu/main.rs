//! Each kernel on the machine's adapter against its f64 twin.

mod adamw;
mod add_relu;
mod avg_pool2d;
mod context;
mod conv2d;
mod cooperative;
mod dense;
mod fixtures;
mod global_avg_pool2d;
mod half;
mod host;
mod matmul;
mod max_pool2d;
mod nan;
mod normalize;
mod pack;
mod params;
mod reduce_sum;
mod scale_add_relu;
mod sgd;
mod sigmoid_cross_entropy;
mod slopes;
mod softmax_cross_entropy;
