//! The f64 twins against PyTorch in float64: tests/fixtures/kernels/*.json, which its generate.py made.
//!
//! The kernels are compared with the twins, the twins with PyTorch: to 1e-12 of a tensor's largest value.

use kernels::{
    AdamWDesc, AddReluDesc, AvgPool2dDesc, Conv2dDesc, DenseDesc, GlobalAvgPool2dDesc, MatmulDesc, MaxPool2dDesc,
    PackDesc, Precision, ReduceSumDesc, Reduction, ScaleAddReluDesc, SgdDesc, SigmoidCrossEntropyDesc,
    SoftmaxCrossEntropyDesc,
    reference::{self, Conv2dInputs, Expected},
};
use serde_json::Value;
use std::path::Path;

/// One case of an operation's file.
struct Case(Value);

fn cases(operation: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/kernels/{operation}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file: Value = serde_json::from_str(&text).unwrap();
    assert!(file["versions"]["torch"].is_string(), "{operation}: no version of PyTorch");
    let Value::Array(cases) = file["cases"].take() else { panic!("{operation}: no cases") };
    assert!(!cases.is_empty(), "{operation}: no cases");
    cases.into_iter().map(Case).collect()
}

fn doubles(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

impl Case {
    fn int(&self, name: &str) -> u32 {
        self.0[name].as_u64().and_then(|number| number.try_into().ok()).unwrap_or_else(|| panic!("{name}: {}", self.0))
    }

    fn pair(&self, name: &str) -> [u32; 2] {
        [0, 1].map(|i| self.0[name][i].as_u64().unwrap().try_into().unwrap())
    }

    fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_else(|| panic!("{name}: {}", self.0))
    }

    fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or_else(|| panic!("{name}: {}", self.0))
    }

    /// Reads an input, which f32 holds exactly.
    fn input(&self, name: &str) -> Vec<f32> {
        let exact = |number: f64| {
            assert_eq!(f64::from(number as f32), number, "{name} isn't exact in f32");
            number as f32
        };
        doubles(&self.0[name]).into_iter().map(exact).collect()
    }

    fn optional(&self, name: &str) -> Option<Vec<f32>> {
        (!self.0[name].is_null()).then(|| self.input(name))
    }

    fn check(&self, name: &str, got: &Expected) {
        let want = doubles(&self.0[name]);
        assert_eq!(got.values.len(), want.len(), "{name}");
        assert!(got.bounds.iter().all(|&bound| bound >= 0.0 && bound.is_finite()), "{name}: {:?}", got.bounds);
        let largest = want.iter().fold(0f64, |largest, value| largest.max(value.abs()));
        let agrees = |got: &[f64]| got.iter().zip(&want).all(|(got, want)| (got - want).abs() <= 1e-12 * largest);
        assert!(agrees(&got.values), "{name}: {:?} instead of {want:?}", got.values);
        // The negative control.
        let mut wrong = got.values.clone();
        wrong[want.len() / 2] += 1e-11 * largest.max(f64::MIN_POSITIVE) + f64::MIN_POSITIVE;
        assert!(!agrees(&wrong), "{name}: the comparison can't fail");
    }
}

#[test]
fn matmul() {
    for case in cases("matmul") {
        let [batch, m, k, n] = ["batch", "m", "k", "n"].map(|name| case.int(name));
        let bias = case.optional("bias");
        let desc = MatmulDesc {
            batch,
            transpose_a: case.flag("transpose_a"),
            transpose_b: case.flag("transpose_b"),
            bias: bias.is_some(),
            ..MatmulDesc::new(m, k, n)
        };
        case.check("output", &reference::matmul(&desc, &case.input("a"), &case.input("b"), bias.as_deref()));
    }
}

#[test]
fn conv2d() {
    for case in cases("conv2d") {
        let (bias, residual) = (case.optional("bias"), case.optional("residual"));
        let desc = Conv2dDesc {
            batch: case.int("batch"),
            height: case.int("height"),
            width: case.int("width"),
            in_channels: case.int("in_channels"),
            out_channels: case.int("out_channels"),
            kernel: case.pair("kernel"),
            stride: case.pair("stride"),
            padding: case.pair("padding"),
            dilation: case.pair("dilation"),
            groups: case.int("groups"),
            residual: residual.is_some(),
            relu: case.flag("relu"),
            precision: Precision::F32,
        };
        let inputs = Conv2dInputs {
            input: &case.input("input"),
            weight: &case.input("weight"),
            bias: bias.as_deref(),
            residual: residual.as_deref(),
        };
        case.check("output", &reference::conv2d(&desc, &inputs, false));
    }
}

#[test]
fn max_pool2d() {
    for case in cases("max_pool2d") {
        let desc = MaxPool2dDesc {
            batch: case.int("batch"),
            height: case.int("height"),
            width: case.int("width"),
            channels: case.int("channels"),
            kernel: case.pair("kernel"),
            stride: case.pair("stride"),
            padding: case.pair("padding"),
            dilation: case.pair("dilation"),
            precision: Precision::F32,
        };
        case.check("output", &reference::max_pool2d(&desc, &case.input("input")));
    }
}

#[test]
fn avg_pool2d() {
    for case in cases("avg_pool2d") {
        let desc = AvgPool2dDesc {
            batch: case.int("batch"),
            height: case.int("height"),
            width: case.int("width"),
            channels: case.int("channels"),
            kernel: case.pair("kernel"),
            stride: case.pair("stride"),
            padding: case.pair("padding"),
            count_include_pad: case.flag("count_include_pad"),
            ceil_mode: case.flag("ceil_mode"),
            precision: Precision::F32,
        };
        case.check("output", &reference::avg_pool2d(&desc, &case.input("input")));
    }
}

#[test]
fn global_avg_pool2d() {
    for case in cases("global_avg_pool2d") {
        let [batch, height, width, channels] = ["batch", "height", "width", "channels"].map(|name| case.int(name));
        let desc = GlobalAvgPool2dDesc::new(batch, height, width, channels);
        case.check("output", &reference::global_avg_pool2d(&desc, &case.input("input")));
    }
}

#[test]
fn add_relu() {
    for case in cases("add_relu") {
        let (a, b) = (case.input("a"), case.input("b"));
        let desc = AddReluDesc { len: a.len() as u32, relu: case.flag("relu") };
        case.check("output", &reference::add_relu(&desc, &a, &b));
    }
}

#[test]
fn pack() {
    for case in cases("pack") {
        let [batch, channels, height, width] = ["batch", "channels", "height", "width"].map(|name| case.int(name));
        let desc = PackDesc::nchw_to_nhwc(batch, channels, height, width);
        case.check("output", &reference::pack(&desc, &case.input("input")));
    }
}

#[test]
fn dense() {
    for case in cases("dense") {
        let desc = DenseDesc { batch: case.int("batch"), width: case.int("width"), classes: case.int("classes") };
        let (table, picks) = (case.input("table"), doubles(&case.0["picks"]));
        let picks: Vec<u32> = picks.into_iter().map(|pick| pick as u32).collect();
        case.check("output", &reference::dense(&desc, &table, &picks, &case.input("weight")));
        let gradient = reference::dense_backward(&desc, &table, &picks, &case.input("grad_output"));
        case.check("grad_weight", &gradient);
    }
}

#[test]
fn reduce_sum() {
    for case in cases("reduce_sum") {
        let desc = ReduceSumDesc { rows: case.int("rows"), columns: case.int("columns") };
        case.check("output", &reference::reduce_sum(&desc, &case.input("input")));
    }
}

#[test]
fn scale_add_relu() {
    for case in cases("scale_add_relu") {
        let [batch, height, width, channels] = ["batch", "height", "width", "channels"].map(|name| case.int(name));
        let desc = ScaleAddReluDesc::new(batch, height, width, channels);
        let [input, gate, residual] = ["input", "gate", "residual"].map(|name| case.input(name));
        case.check("output", &reference::scale_add_relu(&desc, &input, &gate, &residual));
    }
}

#[test]
fn sigmoid_cross_entropy() {
    for case in cases("sigmoid_cross_entropy") {
        let desc = SigmoidCrossEntropyDesc { batch: case.int("batch"), classes: case.int("classes") };
        let [logits, targets, weights] = ["logits", "targets", "sample_weights"].map(|name| case.input(name));
        let (loss, grad) = reference::sigmoid_cross_entropy(&desc, &logits, &targets, &weights);
        case.check("loss", &loss);
        case.check("grad_logits", &grad);
    }
}

#[test]
fn softmax_cross_entropy() {
    for case in cases("softmax_cross_entropy") {
        let (class_weights, sample_weights) = (case.optional("class_weights"), case.optional("sample_weights"));
        let desc = SoftmaxCrossEntropyDesc {
            batch: case.int("batch"),
            classes: case.int("classes"),
            label_smoothing: case.number("label_smoothing"),
            reduction: match case.0["reduction"].as_str() {
                Some("mean") => Reduction::Mean,
                Some("sum") => Reduction::Sum,
                other => panic!("reduction {other:?}"),
            },
            class_weights: class_weights.is_some(),
            sample_weights: sample_weights.is_some(),
            gradient: true,
            classes_first: false,
        };
        // -100 is a u32 far beyond any class.
        let labels: Vec<_> = doubles(&case.0["labels"]).into_iter().map(|label| label as i32 as u32).collect();
        let (loss, grad) = reference::softmax_cross_entropy(
            &desc,
            &case.input("logits"),
            &labels,
            class_weights.as_deref(),
            sample_weights.as_deref(),
        );
        case.check("loss", &loss);
        case.check("grad_logits", &grad);
        let (total, want) = (loss.values.iter().sum::<f64>(), case.number("total"));
        assert!((total - want).abs() <= 1e-12 * want.abs(), "{desc:?}: {total} instead of {want}");
    }
}

/// Takes four steps of an optimiser and compares each.
fn steps(case: &Case, mut step: impl FnMut(u32, f64, &[f32], &Case)) {
    let steps = case.0["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 4);
    for (number, taken) in (1..).zip(steps) {
        let taken = Case(taken.clone());
        step(number, taken.number("learning_rate"), &taken.input("grad"), &taken);
    }
}

#[test]
fn sgd() {
    for case in cases("sgd") {
        let start = case.input("start");
        let desc = SgdDesc {
            len: start.len() as u32,
            momentum: case.number("momentum"),
            dampening: case.number("dampening"),
            nesterov: case.flag("nesterov"),
            weight_decay: case.number("weight_decay"),
            ..SgdDesc::new(start.len() as u32)
        };
        let mut param = Expected::exact(&start);
        let mut momentum = Expected::exact(&vec![0.0; start.len()]);
        steps(&case, |step, learning_rate, grad, taken| {
            reference::sgd(&desc, (learning_rate, step), &mut param, grad, &mut momentum);
            taken.check("param", &param);
            if desc.momentum != 0.0 {
                taken.check("momentum_buffer", &momentum);
            }
        });
    }
}

#[test]
fn adamw() {
    for case in cases("adamw") {
        let start = case.input("start");
        let desc = AdamWDesc {
            len: start.len() as u32,
            beta1: case.number("beta1"),
            beta2: case.number("beta2"),
            eps: case.number("eps"),
            weight_decay: case.number("weight_decay"),
            ..AdamWDesc::new(start.len() as u32)
        };
        let mut param = Expected::exact(&start);
        let [mut exp_avg, mut exp_avg_sq] = [(); 2].map(|()| Expected::exact(&vec![0.0; start.len()]));
        steps(&case, |step, learning_rate, grad, taken| {
            reference::adamw(&desc, (learning_rate, step), &mut param, grad, [&mut exp_avg, &mut exp_avg_sq]);
            taken.check("param", &param);
            taken.check("exp_avg", &exp_avg);
            taken.check("exp_avg_sq", &exp_avg_sq);
        });
    }
}
