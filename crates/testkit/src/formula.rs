//! Numbers drawn by a formula that PyTorch's side can compute too, so that no large file is needed.
//!
//! Element i of the series called `name` is a hash of both: splitmix64's output function at `fnv1a(name) + (i + 1) · γ`, of which
//! the upper 24 bits, over 2²⁴, make a uniform number in [0, 1) that f32 holds exactly. The Python twin is
//! `tests/fixtures/resnet/formula.py`.
//!
//! # Reference
//! Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014; Fowler, Noll and Vo's hash FNV-1a.

use serde_json::{Map, json};

fn hash(name: &str, index: u64) -> u64 {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let z = seed.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Draws element `index` of the series `name`, uniform in [0, 1).
pub fn uniform(name: &str, index: usize) -> f64 {
    (hash(name, index as u64) >> 40) as f64 / f64::from(1 << 24)
}

/// Draws element `index` of the series `name` as a byte.
pub fn byte(name: &str, index: usize) -> u8 {
    (hash(name, index as u64) >> 56) as u8
}

/// Draws the position of sample `index`, below `len`.
pub fn position(name: &str, index: usize, len: usize) -> usize {
    (hash(name, index as u64) % len as u64) as usize
}

/// Draws `len` inputs for a network, uniform in [−2, 2).
pub fn input(name: &str, len: usize) -> Vec<f32> {
    (0..len).map(|i| (4.0 * uniform(name, i) - 2.0) as f32).collect()
}

/// Draws one tensor of a residual network in torchvision's names.
///
/// Convolutions keep the variance (uniform within √(6 / fan in)); BatchNorm scales and variances lie in [0.5, 1.5), shifts and means in
/// [−0.1, 0.1). The scale of `last_norm`, a block's last BatchNorm (`bn2` or `bn3`), is a fifth, so that a long chain of blocks
/// stays of the order of 1.
pub fn tensor(name: &str, shape: &[usize], last_norm: &str) -> Vec<f32> {
    let fan_in = shape[1..].iter().product::<usize>() as f64;
    let (module, part) = name.rsplit_once('.').unwrap_or(("", name));
    let (offset, scale) = match (part, shape.len()) {
        ("weight", 4) => (-1.0, 2.0 * (6.0 / fan_in).sqrt()),
        ("weight", 2) => (-1.0, 2.0 * (3.0 / fan_in).sqrt()),
        ("weight", _) if module.ends_with(&format!(".{last_norm}")) => (1.0, 0.2),
        ("weight" | "running_var", _) => (1.0, 1.0),
        _ => (-1.0, 0.2),
    };
    (0..shape.iter().product()).map(|i| ((uniform(name, i) + 0.5 * offset) * scale) as f32).collect()
}

/// Writes all `tensors` (names and shapes of a residual network) as a safetensors file of f32 in memory.
pub fn weights(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let bottleneck = tensors.iter().any(|(name, _)| name.ends_with(".conv3.weight"));
    let last_norm = if bottleneck { "bn3" } else { "bn2" };
    let values: Vec<(&str, &[usize], Vec<f32>)> =
        tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice(), tensor(name, shape, last_norm))).collect();
    let file: Vec<_> =
        values.iter().map(|(name, shape, values)| (*name, "F32", *shape, bytemuck::cast_slice(values))).collect();
    safetensors(&file)
}

/// Writes a safetensors file: name, dtype, shape and little-endian bytes of each tensor, in this order.
///
/// Nothing is checked, so that broken files can be made too.
pub fn safetensors(tensors: &[(&str, &str, &[usize], &[u8])]) -> Vec<u8> {
    let mut header = Map::new();
    let mut end = 0;
    for (name, dtype, shape, bytes) in tensors {
        let start = end;
        end += bytes.len();
        let info = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        header.insert((*name).into(), info);
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    for (_, _, _, bytes) in tensors {
        file.extend_from_slice(bytes);
    }
    file
}

/// Computes the CRC-32 (IEEE 802.3, as zlib's) of `bytes`.
pub fn crc32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !bytes.into_iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_has_the_standard_check_value() {
        assert_eq!(crc32(*b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn series_are_spread_and_differ_by_name() {
        let mean = |name: &str| (0..10_000).map(|i| uniform(name, i)).sum::<f64>() / 1e4;
        assert!((mean("a") - 0.5).abs() < 0.01 && (mean("b") - 0.5).abs() < 0.01);
        assert_ne!(uniform("a", 0), uniform("b", 0));
        assert_ne!(uniform("a", 0), uniform("a", 1));
    }
}
