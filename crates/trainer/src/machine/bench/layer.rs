//! A layer's figures, and why it is slow.

use kernels::Family;
use resnet::{LayerPlan, PlannedLayer};
use serde::Serialize;

/// A layer below this share of the yardstick is called slow, and why is said.
pub const SLOW: f64 = 0.2;
/// A layer that takes less than so many times what starting its dispatches costs is mostly that.
const STARTS: f64 = 2.0;
/// Products of a sum that a software driver computes in the time in which it stores it.
const SHORT: u64 = 256;

/// A layer's figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// torchvision's name.
    pub name: String,
    /// The operation.
    pub op: &'static str,
    /// The sizes of its input and output.
    pub shape: String,
    /// The kernel and its variant.
    pub kernel: String,
    /// Floating-point operations of the batch by the definition.
    pub flops: u64,
    /// Bytes that it must move at least.
    pub bytes: u64,
    /// Workgroups of its largest dispatch.
    pub workgroups: u64,
    /// Dispatches.
    pub dispatches: usize,
    /// Milliseconds, the median.
    pub ms: f64,
    /// 10⁹ operations a second; Winograd may exceed the yardstick, since it needs fewer than the definition.
    pub gflops: f64,
    /// 10⁹ bytes a second.
    pub gb_s: f64,
    /// The part of the yardstick that it reaches; of the memory's speed where it has no products.
    pub share: f64,
    /// Why it is slow, if it is.
    pub slow: Option<String>,
}

/// A planned layer as it was measured: seconds and dispatches of all its parts, and the workgroups of its largest dispatch.
pub(crate) struct Measured {
    pub(crate) plan: PlannedLayer,
    pub(crate) seconds: f64,
    pub(crate) dispatches: usize,
    pub(crate) workgroups: u64,
}

/// What layers are measured by.
pub(crate) struct Machine {
    /// The yardstick's speed.
    pub(crate) gflops: f64,
    pub(crate) memory_gb_s: f64,
    /// What the smallest dispatch takes.
    pub(crate) starting_ms: f64,
    /// Workgroups that fill it; none on a software adapter, which a few fill.
    pub(crate) full_workgroups: Option<u64>,
}

impl Machine {
    fn is_software(&self) -> bool {
        self.full_workgroups.is_none()
    }
}

impl Layer {
    /// Computes the figures of a layer, beside a machine's.
    pub(crate) fn new(measured: &Measured, machine: &Machine) -> Self {
        let Measured { plan, seconds, dispatches, workgroups } = measured;
        let (reached, gb_s) = (plan.flops as f64 / seconds / 1e9, plan.bytes as f64 / seconds / 1e9);
        let memory_share = gb_s / machine.memory_gb_s;
        let share = if plan.flops > 0 { reached / machine.gflops } else { memory_share };
        Self {
            name: plan.name.clone(),
            op: plan.op(),
            shape: plan.shape(),
            kernel: plan.kernel(),
            flops: plan.flops,
            bytes: plan.bytes,
            workgroups: *workgroups,
            dispatches: *dispatches,
            ms: seconds * 1e3,
            gflops: reached,
            gb_s,
            share,
            slow: (share < SLOW).then(|| reasons(measured, memory_share, machine)),
        }
    }
}

/// Says why a layer is slow: all reasons that apply.
fn reasons(measured: &Measured, memory_share: f64, machine: &Machine) -> String {
    let Measured { plan: layer, seconds, dispatches, workgroups } = measured;
    let mut reasons = Vec::new();
    let software = machine.is_software();
    let short = seconds * 1e3 < STARTS * machine.starting_ms * *dispatches as f64;
    let family = match &layer.plan {
        LayerPlan::Conv2d(plan) => {
            let times = plan.computed_flops() as f64 / plan.desc().flops() as f64;
            if times > 1.5 && !plan.is_winograd() {
                let what = if plan.desc().groups > 1 { "the zeros of other groups" } else { "the rest of its tiles" };
                reasons.push(format!("with {what} it computes {times:.1} times the products asked for"));
            }
            let sums = plan.desc().flops() / plan.desc().output_len() / 2;
            if software && plan.family() == Family::Texture && sums <= SHORT {
                reasons.push(format!(
                    "its sums have {sums} products, and a software driver takes as long to copy and store values"
                ));
            }
            Some(plan.family())
        }
        LayerPlan::Matmul(plan) => {
            if plan.family() == Family::Texture && plan.desc().transpose_b {
                reasons.push("its weights are turned and copied in every pass".to_owned());
            }
            Some(plan.family())
        }
        _ => None,
    };
    if memory_share > 0.5 {
        reasons.push(format!("bound by memory, at {:.0} % of its speed", 100.0 * memory_share));
    }
    if software && family == Some(Family::Tiled) {
        reasons.push("tiled kernels are made for GPUs, this is a software adapter".to_owned());
    }
    if short {
        reasons.push("so short that starting it is most of it".to_owned());
    }
    if let Some(full) = machine.full_workgroups.filter(|full| workgroups < full) {
        reasons.push(format!("{workgroups} workgroups don't fill this GPU, about {full} do: a larger batch has more"));
    }
    if layer.flops == 0 && !short {
        reasons.push("it compares or adds value by value".to_owned());
    }
    match reasons.is_empty() {
        true => "no reason known: tuning may find a better variant, else it is worth a report".to_owned(),
        false => reasons.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use kernels::{Conv2d, Conv2dDesc, Variant};

    use super::*;
    use crate::machine::gpu::{Selection, open};

    #[test]
    fn slow_layers_have_a_reason() {
        let gpu = pollster::block_on(open(&Selection { family: Some(Family::Tiled), ..Default::default() })).unwrap();
        let layer = |desc: Conv2dDesc| PlannedLayer {
            name: "layer".to_owned(),
            plan: LayerPlan::Conv2d(Conv2d::new(&gpu.context, &desc).unwrap()),
            input: [1; 3],
            output: [1; 3],
            flops: desc.flops(),
            bytes: 1,
        };
        // 20 µs a dispatch, and 600 workgroups that fill it.
        let machine = |full_workgroups| Machine { gflops: 1e3, memory_gb_s: 100.0, starting_ms: 0.02, full_workgroups };
        let (gpu_600, software) = (machine(Some(600)), machine(None));
        let why = |plan: &PlannedLayer, [ms, memory_share]: [f64; 2], workgroups: u64, machine: &Machine| {
            let measured = Measured { plan: plan.clone(), seconds: ms / 1e3, dispatches: 3, workgroups };
            reasons(&measured, memory_share, machine)
        };
        let dense = layer(Conv2dDesc::new(1, [32, 32], [64, 64], 3));
        assert!(why(&dense, [5.0, 0.1], 600, &gpu_600).starts_with("no reason known"));
        assert_eq!(why(&dense, [5.0, 0.7], 600, &gpu_600), "bound by memory, at 70 % of its speed");
        assert!(why(&dense, [5.0, 0.1], 600, &software).contains("made for GPUs"));
        // Three dispatches: starting them takes 0.06 ms.
        assert!(why(&dense, [0.11, 0.1], 600, &gpu_600).contains("starting it"));
        assert!(why(&dense, [0.13, 0.1], 600, &gpu_600).starts_with("no reason known"));
        assert!(why(&dense, [5.0, 0.1], 599, &gpu_600).contains("599 workgroups don't fill this GPU, about 600 do"));
        assert!(!why(&dense, [5.0, 0.1], 4, &software).contains("workgroups"));
        // The default of narrow groups has no such zeros.
        let desc = Conv2dDesc { groups: 16, ..Conv2dDesc::new(1, [32, 32], [64, 64], 3) };
        let plan = Conv2d::new(&gpu.context, &desc).unwrap();
        let direct = plan.variants().into_iter().find(|variant| matches!(variant, Variant::Direct(_))).unwrap();
        let grouped = PlannedLayer { plan: LayerPlan::Conv2d(plan.with_variant(direct).unwrap()), ..layer(desc) };
        let zeros = "with the zeros of other groups it computes 16.0 times the products asked for";
        assert_eq!(why(&grouped, [5.0, 0.1], 1000, &gpu_600), zeros);
        let pool = PlannedLayer { plan: LayerPlan::Other("max_pool2d"), flops: 0, ..dense };
        assert!(why(&pool, [5.0, 0.1], 1000, &gpu_600).contains("value by value"));
        assert!(!why(&pool, [0.1, 0.1], 1000, &gpu_600).contains("value by value"));
    }
}
