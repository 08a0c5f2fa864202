//! Cooperative matrices in plain WGSL, for tests on devices that have none: all of a kernel but its matrices runs as it is written.

/// What takes the place of matrices, for the operands `tile_x` and `tile_w` and the sums' `stage`. A matrix of operands is where it stands: nothing
/// writes there before it was multiplied. Of sums, each of 32 lanes holds half a row.
const PLAIN: &str = "
struct Place16 { at: u32, stride: u32 }
var<private> emulated_lane: u32;
fn multiply_add(a: Place16, b: Place16, c: array<f32, 8>) -> array<f32, 8> {
    var sums = c;
    let i = a.at + emulated_lane / 2u * a.stride;
    let j = b.at + emulated_lane % 2u * 2u;
    for (var k = 0u; k < 16u; k++) {
        let left = f32(tile_x[i + k / 4u][k % 4u]);
        for (var n = 0u; n < 8u; n++) { sums[n] += left * f32(tile_w[j + k * b.stride + n / 4u][n % 4u]); }
    }
    return sums;
}
fn store_sums(c: array<f32, 8>, at: u32, stride: u32) {
    let i = at + emulated_lane / 2u * stride + emulated_lane % 2u * 2u;
    stage[i] = vec4<f32>(c[0], c[1], c[2], c[3]);
    stage[i + 1u] = vec4<f32>(c[4], c[5], c[6], c[7]);
}
";

/// Rewrites a shader. Places of matrices may hold no brackets.
pub(crate) fn emulated(source: &str) -> String {
    let mut text = source
        .replace("enable wgpu_cooperative_matrix;", "")
        .replace("coop_mat16x16<f32, C>", "array<f32, 8>")
        .replace("coopMultiplyAdd(", "multiply_add(")
        .replace("let lane = t % 32u;", "let lane = t % 32u; emulated_lane = lane;");
    for (matrix, plain) in [
        ("coopLoadT<coop_mat16x16<f16, A>>(&tile_x[", "Place16("),
        ("coopLoadT<coop_mat16x16<f16, B>>(&tile_w[", "Place16("),
    ] {
        text = renamed(&text, matrix, plain);
    }
    while let Some(start) = text.find("coopStoreT(") {
        let end = start + text[start..].find('\n').unwrap_or(text.len() - start);
        let line = text[start..end].replace("coopStoreT(", "store_sums(").replace("&stage[", "").replace(']', "");
        text.replace_range(start..end, &line);
    }
    text + PLAIN
}

/// Puts `to` for `from`, which ends within brackets, and drops the bracket that closes them.
fn renamed(text: &str, from: &str, to: &str) -> String {
    let mut parts = text.split(from);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + to + &part.replacen(']', "", 1))
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_matrix_is_left() {
        let text = super::emulated(shaders::CONV2D_COOPERATIVE.source);
        let code: Vec<&str> = text.lines().filter(|line| !line.starts_with("//")).collect();
        assert!(!code.iter().any(|line| line.contains("coop")));
        let count = |word: &str| code.iter().filter(|line| line.contains(word)).count();
        assert_eq!([count("= Place16("), count("= multiply_add("), count(" store_sums(c")], [6, 8, 8]);
    }
}
