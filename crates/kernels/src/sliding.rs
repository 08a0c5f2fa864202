//! Windows that slide over an image: the taps of a convolution, the window of a pooling.

/// Computes the rows and columns that a sliding window gives, `floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`; none where it is
/// larger than the padded image or a size is zero.
pub(crate) fn output_size(
    size: [u32; 2],
    kernel: [u32; 2],
    stride: [u32; 2],
    padding: [u32; 2],
    dilation: [u32; 2],
) -> Option<[u32; 2]> {
    let axis = |i: usize| {
        let padded = size[i].checked_add(padding[i].checked_mul(2)?)?;
        let reach = dilation[i].checked_mul(kernel[i].checked_sub(1)?)?.checked_add(1)?;
        Some(padded.checked_sub(reach)?.checked_div(stride[i])? + 1)
    };
    (size[0] > 0 && size[1] > 0).then_some(())?;
    Some([axis(0)?, axis(1)?])
}
