//! `normalize` on the adapter against its twin.

use kernels::{Family, Normalize, NormalizeDesc, reference, wgpu::Limits};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

/// Makes bytes of photos, and 0xff in what the last word has beyond them.
pub fn photos(pixels: u32, seed: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        Samples::new(seed).vec(3 * pixels as usize).iter().map(|x| (x.to_bits() >> 8) as u8).collect();
    bytes.resize(bytes.len().next_multiple_of(4), 0xff);
    bytes
}

/// Makes a table in which no two bytes of any colour become the same.
pub fn table(seed: u64) -> [[f32; 256]; 3] {
    let [scale, shift] = [Samples::new(seed).vec(3), Samples::new(seed + 1).vec(3)];
    std::array::from_fn(|c| {
        std::array::from_fn(|x| (x as f32 / 255.0 - shift[c]) / (scale[c] + 2.5) + 100.0 * c as f32)
    })
}

fn check(gpu: &Gpu, pixels: u32, seed: u64) -> usize {
    let (desc, bytes, table) = (NormalizeDesc::new(pixels), photos(pixels, seed), table(seed));
    let output = gpu.output(desc.output_words() as usize);
    let (input, tables) = (gpu.upload(&bytes), gpu.upload(table.as_flattened()));
    let plan = Normalize::new(&gpu.context(Family::Tiled), &desc).unwrap();
    let commands = plan.bind(input.slice(..), tables.slice(..), output.slice()).unwrap();
    gpu.run([&commands]);
    let (got, expected) = (gpu.read(&output), reference::normalize(&desc, &bytes, &table));
    assert_close(&format!("{pixels} pixels"), &got, &expected);
    assert!(got.iter().zip(&expected.values).all(|(got, want)| f64::from(*got) == *want), "looked up, not computed");
    commands.dispatches()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn ragged_photos(pixels in 1u32..700, seed in 0u64..1 << 40) {
        assert_eq!(check(gpu(), pixels, seed), 1);
    }
}

#[test]
fn every_byte_of_every_colour_has_a_place_of_its_own() {
    let bytes: Vec<u8> = (0..=255).flat_map(|x: u8| [x, x.wrapping_add(85), x.wrapping_mul(7)]).collect();
    let table = table(5);
    let (input, tables, output) = (gpu().upload(&bytes), gpu().upload(table.as_flattened()), gpu().output(1024));
    let plan = Normalize::new(&gpu().context(Family::Tiled), &NormalizeDesc::new(256)).unwrap();
    gpu().run([&plan.bind(input.slice(..), tables.slice(..), output.slice()).unwrap()]);
    for (pixel, got) in bytes.chunks_exact(3).zip(gpu().read(&output).chunks_exact(4)) {
        let [red, green, blue] = [0, 1, 2].map(|c| table[c][usize::from(pixel[c])]);
        assert_eq!(got, [red, green, blue, 0.0]);
    }
}

#[test]
fn photos_beyond_a_binding_are_split() {
    let limits = Limits { max_storage_buffer_binding_size: 6 << 10, ..Limits::default() };
    let gpu = gpu_with(limits);
    for (pixels, dispatches) in [(256, 1), (257, 2), (512, 2), (1023, 4)] {
        assert_eq!(check(&gpu, pixels, 3), dispatches);
    }
}

#[test]
fn workgroups_are_folded() {
    let limits = Limits { max_compute_workgroups_per_dimension: 5, ..Limits::default() };
    assert_eq!(check(&gpu_with(limits), 64 * 23 - 7, 4), 1);
}

#[test]
fn bad_input_is_an_error() {
    let context = gpu().context(Family::Tiled);
    let error = Normalize::new(&context, &NormalizeDesc::new(0)).unwrap_err();
    assert_eq!(error.to_string(), "normalize: output is empty: [0, 4]");
    assert!(Normalize::new(&context, &NormalizeDesc::new(1 << 30)).is_err());
    let plan = Normalize::new(&context, &NormalizeDesc::new(5)).unwrap();
    let [words, table, output] = [4, 768, 20].map(|len| gpu().upload(&vec![0.0f32; len]));
    plan.bind(words.slice(..), table.slice(..), output.slice(..)).unwrap();
    for (bytes, table, output) in [(12, 3072, 80), (16, 3068, 80), (16, 3072, 76)] {
        let [words, table, output] = [bytes, table, output].map(|len| gpu().upload(&vec![0.0f32; len / 4]));
        let error = plan.bind(words.slice(..), table.slice(..), output.slice(..)).unwrap_err();
        assert!(matches!(error, kernels::Error::Size { .. }), "{error}");
    }
}
