//! What a planned network is made of, layer by layer: for those who measure it, and for tuning.

use kernels::{Conv2d, Matmul, Variant};

/// A layer of a planned network.
///
/// ```
/// # fn example(backbone: &resnet::Backbone) {
/// for layer in backbone.layers() {
///     println!("{}: {}, {:.1} MFLOP", layer.name, layer.kernel(), layer.flops as f64 / 1e6);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PlannedLayer {
    /// torchvision's (or timm's) name of the module: `layer1.0.conv1`.
    pub name: String,
    /// How it is computed.
    pub plan: LayerPlan,
    /// Rows, columns and channels of what one image gives it.
    pub input: [usize; 3],
    /// Rows, columns and channels of what it gives for one image.
    pub output: [usize; 3],
    /// Floating-point operations of the batch by the definition, two a multiply-add; 0 where there are no products.
    pub flops: u64,
    /// Bytes of all operands of the batch, each once: what must be moved at least.
    pub bytes: u64,
}

/// The operation of a layer, with its plan where there are several ways to compute it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LayerPlan {
    /// A convolution.
    Conv2d(Conv2d),
    /// The file's own head.
    Matmul(Matmul),
    /// Pooling, or a gate's product: the kernel's name.
    Other(&'static str),
}

impl PlannedLayer {
    /// Names the operation.
    pub fn op(&self) -> &'static str {
        match &self.plan {
            LayerPlan::Conv2d(_) => "conv2d",
            LayerPlan::Matmul(_) => "matmul",
            LayerPlan::Other(name) => name,
        }
    }

    /// Estimates its cost, for comparing layers: FLOPs, and 16 for each byte, which is what a GPU could compute while it moves one.
    pub fn work(&self) -> u64 {
        self.flops + 16 * self.bytes
    }

    /// Names family and variant, or the operation where it has but one kernel.
    pub fn kernel(&self) -> String {
        match &self.plan {
            LayerPlan::Conv2d(plan) => format!("{} {}", plan.family().name(), plan.variant()),
            LayerPlan::Matmul(plan) => format!("{} {}", plan.family().name(), plan.variant()),
            LayerPlan::Other(name) => (*name).to_owned(),
        }
    }

    /// Names the class of shapes under which a [`TuneTable`](kernels::TuneTable) holds its variant, where it has a choice.
    pub fn class(&self) -> Option<String> {
        match &self.plan {
            LayerPlan::Conv2d(plan) => Some(plan.class()),
            LayerPlan::Matmul(plan) => Some(plan.class()),
            LayerPlan::Other(_) => None,
        }
    }

    /// Gives the variant it is planned with, where it has a choice.
    pub fn variant(&self) -> Option<Variant> {
        match &self.plan {
            LayerPlan::Conv2d(plan) => Some(plan.variant()),
            LayerPlan::Matmul(plan) => Some(plan.variant()),
            LayerPlan::Other(_) => None,
        }
    }

    /// Lists all variants that compute it here, the default first; empty where there is but one kernel.
    pub fn variants(&self) -> Vec<Variant> {
        match &self.plan {
            LayerPlan::Conv2d(plan) => plan.variants(),
            LayerPlan::Matmul(plan) => plan.variants(),
            LayerPlan::Other(_) => Vec::new(),
        }
    }

    /// Words its sizes for people: `56x56x64 to 28x28x128, 3x3 stride 2`.
    pub fn shape(&self) -> String {
        let [h, w, c] = self.input;
        let [out_h, out_w, out_c] = self.output;
        let mut text = format!("{h}x{w}x{c} to {out_h}x{out_w}x{out_c}");
        if let LayerPlan::Conv2d(plan) = &self.plan {
            let desc = plan.desc();
            text += &format!(", {}x{}", desc.kernel[0], desc.kernel[1]);
            if desc.stride != [1, 1] {
                text += &format!(" stride {}", desc.stride[0]);
            }
            if desc.groups > 1 {
                text += &format!(" groups {}", desc.groups);
            }
        }
        text
    }
}
