//! Which channels a panel of output channels sees, where a convolution has groups.

use super::desc::Conv2dDesc;

/// Where a panel's input channels start and how many vec4 it reads of every tap.
///
/// A panel of output channels sees the channels of all groups it touches; those a given output doesn't belong to
/// have zero weight. With one group that is all channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub span4: u32,
    panel: u32,
}

impl Span {
    pub fn of(desc: &Conv2dDesc, panel: u32) -> Self {
        let (group_in, group_out) = (desc.in_channels / desc.groups, desc.out_channels / desc.groups);
        let widest = (0..desc.out_channels.div_ceil(panel))
            .map(|i| {
                let last = ((i + 1) * panel).min(desc.out_channels) - 1;
                let end = (last / group_out + 1) * group_in;
                end.div_ceil(4) - i * panel / group_out * group_in / 4
            })
            .max();
        Span { span4: widest.unwrap_or_default(), panel }
    }

    /// Finds the first channel that the i-th panel reads. The shaders compute the same.
    pub fn first(self, desc: &Conv2dDesc, i: u32) -> u32 {
        let (group_in, group_out) = (desc.in_channels / desc.groups, desc.out_channels / desc.groups);
        (i * self.panel / group_out * group_in / 4).min(desc.packed_channels() / 4 - self.span4) * 4
    }
}
