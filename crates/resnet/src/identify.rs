//! Identifies files that hold no ResNet that can be run, so that an error can say what they are and what to do.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::Naming;
use crate::problems::List;

/// A finding: what the file is, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    pub(crate) what: String,
    pub(crate) advice: String,
}

impl Diagnosis {
    pub(crate) fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), advice: advice.into() }
    }
}

const FROM_PYTORCH: &str = "convert it with `python tools/convert.py FILE` (PyTorch's own files can run code when they are loaded, so \
    they never are here)";
const DOWNLOAD_AGAIN: &str = "download it again";
/// What may be used instead of an unsupported network.
pub(crate) const SUPPORTED: &str = "supported are plain ResNets (18, 34, 50, 101, 152 and other depths and widths), \
    Wide-ResNets and ResNeXts, in torchvision's, timm's or transformers' names, and their C, D, S, T, SE and ECA variants in timm's";
/// The greatest header that the safetensors format allows.
const MAX_HEADER_OF_FORMAT: u64 = 100_000_000;
/// The greatest header that is read: some hundred bytes for each tensor, and the names of many classes.
const MAX_HEADER: u64 = 8 << 20;
/// Where a file's header ends at the latest, which tells what the file is.
pub(crate) const MAX_START: u64 = size_of::<u64>() as u64 + MAX_HEADER;
/// More tensors than files have that hold a ResNet, perhaps with other networks beside it.
const MAX_TENSORS: usize = 10_000;
/// Colons and commas that a tensor takes: of its name, format, shape of four numbers, place of two, and the next one's.
const MARKS_OF_A_TENSOR: usize = 11;
/// Colons and commas of a header that is read, those of the metadata among them. Each stands for a value, which takes some ten times its text
/// in memory.
const MAX_MARKS: usize = MARKS_OF_A_TENSOR * MAX_TENSORS;

/// Says what `bytes` are if they don't start as a safetensors file does: its header's length in 8 bytes, then `{`.
pub(crate) fn foreign_format(bytes: &[u8]) -> Option<Diagnosis> {
    if bytes.is_empty() {
        return Some(Diagnosis::new("the file is empty", DOWNLOAD_AGAIN));
    }
    let header = bytes.first_chunk().map(|length| u64::from_le_bytes(*length));
    if header.is_some_and(|length| length <= MAX_HEADER_OF_FORMAT) && bytes.get(8) == Some(&b'{') {
        return None;
    }
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]).trim_start().to_ascii_lowercase();
    let diagnosis = if bytes.starts_with(b"PK\x03\x04") {
        Diagnosis::new("this is a ZIP archive, most likely a PyTorch checkpoint (`torch.save`)", FROM_PYTORCH)
    } else if matches!(bytes, [0x80, 2..=5, ..]) {
        Diagnosis::new("this is a Python pickle, most likely an old PyTorch checkpoint", FROM_PYTORCH)
    } else if bytes.get(257..262) == Some(b"ustar") {
        Diagnosis::new(
            "this is a tar archive, perhaps a PyTorch checkpoint of the oldest kind",
            format!("unpack it, or {FROM_PYTORCH}"),
        )
    } else if bytes.starts_with(&[0x1f, 0x8b]) {
        Diagnosis::new("this is a gzip archive", "unpack it first")
    } else if bytes.starts_with(b"GGUF") {
        Diagnosis::new("this is a GGUF file, which holds language models", SUPPORTED)
    } else if bytes.starts_with(b"\x89HDF\r\n\x1a\n") {
        Diagnosis::new(
            "this is an HDF5 file, most likely a Keras or TensorFlow model",
            "get the same network's PyTorch weights as safetensors",
        )
    } else if matches!(bytes, [0x08, 1..=32, 0x12 | 0x1a | 0x22 | 0x3a | 0x42, ..]) {
        Diagnosis::new(
            "this looks like an ONNX model",
            "get the weights it was exported from, as safetensors: BatchNorm and names are lost in ONNX",
        )
    } else if start.starts_with("version https://git-lfs") {
        Diagnosis::new(
            "this is a Git LFS pointer, not the weights themselves",
            "run `git lfs pull` in its repository, or download the file itself",
        )
    } else if start.starts_with("<!doctype") || start.starts_with("<html") || start.starts_with("<?xml") {
        Diagnosis::new(
            "this is a web page, not weights",
            "download the file itself: look for a `download` or `raw` link, and log in if the page asks for it",
        )
    } else if start.starts_with('{') {
        if String::from_utf8_lossy(&bytes[..bytes.len().min(1 << 20)]).contains("\"weight_map\"") {
            Diagnosis::new(
                "this is the index of a checkpoint split over several files (shards)",
                "no ResNet needs shards: get a single `model.safetensors`, or load the model and save it as one file",
            )
        } else {
            Diagnosis::new("this is a JSON file, not weights", "give the `.safetensors` file that goes with it")
        }
    } else if header.is_none() {
        Diagnosis::new(format!("the file is only {} bytes long", bytes.len()), DOWNLOAD_AGAIN)
    } else {
        Diagnosis::new("this isn't a safetensors file", format!("if PyTorch wrote it, {FROM_PYTORCH}"))
    };
    Some(diagnosis)
}

/// Gives the header's text, and where it ends, out of the start of a file of so many bytes that begins as safetensors do.
pub(crate) fn header(start: &[u8], length: u64) -> Result<(&[u8], usize), Diagnosis> {
    let header = start.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    let end = header.saturating_add(size_of::<u64>() as u64);
    let text = usize::try_from(end).ok().and_then(|end| Some((start.get(size_of::<u64>()..end)?, end)));
    text.ok_or_else(|| {
        let what = format!("the file is truncated: it has {length} bytes, its header alone takes {end}");
        Diagnosis::new(what, DOWNLOAD_AGAIN)
    })
}

/// Refuses a header that no ResNet has, before it is parsed: parsed it takes many times its own size.
pub(crate) fn excessive_header(start: &[u8]) -> Option<Diagnosis> {
    let header = start.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    let diagnosis = |what: String| Some(Diagnosis::new(what, SUPPORTED));
    if header > MAX_HEADER {
        return diagnosis(format!(
            "its header takes {header} bytes; this is no ResNet, of which none takes {MAX_HEADER}"
        ));
    }
    let length = usize::try_from(header).ok()?;
    let (mut quoted, mut escaped, mut marks) = (false, false, 0);
    for byte in start.get(size_of::<u64>()..)?.iter().take(length) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b':' | b',' if !quoted => marks += 1,
            _ => {}
        }
    }
    if marks > MAX_MARKS {
        return diagnosis(format!(
            "its header tells of {} tensors or more; this is no ResNet, of which none has {MAX_TENSORS}",
            // The last one has no comma behind it.
            (marks + 1) / MARKS_OF_A_TENSOR
        ));
    }
    None
}

/// Says that a safetensors file which should end at `end` has another length.
pub(crate) fn wrong_length(end: u64, length: u64) -> Option<Diagnosis> {
    let what = match length.checked_sub(end) {
        Some(0) => return None,
        Some(more) => format!("the file has {more} bytes after its last tensor, which safetensors forbids"),
        None => format!("the file is truncated: it has {length} bytes of {end}"),
    };
    Some(Diagnosis::new(what, DOWNLOAD_AGAIN))
}

/// Networks by what their tensors' names contain: all marks of a row must occur, in one name or several; the first row that fits
/// counts. A mark is whole components between dots; `^` stands for the start of the name.
type Marks = &'static [(&'static str, &'static [&'static str])];

const FAMILIES: Marks = &[
    ("a CLIP model", &[".text_model."]),
    ("a CLIP model", &[".vision_model."]),
    ("a CLIP model", &["^logit_scale."]),
    ("a CLIP model", &[".attnpool."]),
    ("a CLIP model", &["^stem.conv1.conv.", "^head.pos_embed."]),
    ("a MaxViT", &[".mbconv."]),
    ("a vision transformer (ViT)", &[".cls_token."]),
    ("a vision transformer (ViT)", &[".class_token."]),
    ("a Swin transformer", &[".relative_position_bias_table."]),
    ("a Swin transformer", &[".cpb_mlp."]),
    ("a Swin transformer", &[".swin."]),
    ("a vision transformer (ViT)", &["^pos_embed."]),
    ("a vision transformer (ViT)", &["^patch_embed."]),
    ("a ConvNeXt", &["^features.1.0.layer_scale."]),
    ("a ConvNeXt", &[".layer_scale_parameter."]),
    ("a ConvNeXt", &[".convnextv2."]),
    ("a ConvNeXt", &[".pwconv1."]),
    ("a ConvNeXt", &["^stages.0.blocks.0.conv_dw.", ".mlp.fc1."]),
    ("an EfficientNet or MobileNet", &["^conv_stem."]),
    ("an EfficientNet", &[".efficientnet."]),
    ("an EfficientNet", &["^features.1.0.block."]),
    ("a MobileNet", &[".mobilenet_v1."]),
    ("a MobileNet", &[".mobilenet_v2."]),
    ("a MobileNet", &["^features.1.conv."]),
    ("a MobileNet", &["^features.1.block."]),
    ("a RegNet", &[".trunk_output."]),
    ("a RegNet", &[".regnet."]),
    ("a RegNet", &["^s1.b1."]),
    ("a DenseNet", &[".denseblock1."]),
    ("an Inception network", &[".mixed_5b."]),
    ("an Inception network", &[".inception3a."]),
    ("a SqueezeNet", &[".squeeze.weight."]),
    ("a ShuffleNet", &["^stage2.0.branch2."]),
    ("a VGG or AlexNet", &["^features.0.weight.", "^classifier."]),
    ("a VGG or AlexNet", &["^features.0.weight.", "^pre_logits."]),
    ("a pre-activation ResNet (v2, BiT)", &["^stages.0.blocks.0.norm1.", "^stages.0.blocks.0.conv2."]),
    ("a pre-activation ResNet (v2, BiT)", &["^bit.encoder."]),
    ("a CSPNet (cross-stage partial connections)", &[".conv_transition."]),
    ("an NFNet or NF-ResNet (without normalisation)", &["^stem.conv.gain."]),
    ("a TResNet", &["^body.conv1.conv.", "^body.layer1.0."]),
    ("a ResNet with a stem of several convolutions (timm's byobnet)", &["^stem.conv1.conv.", "^stages.0.0."]),
    ("a ResNet with a stem of several convolutions (timm's byobnet)", &["^stem.conv3.conv.", "^stages.0.0."]),
    ("a detection or segmentation model", &[".rpn."]),
    ("a detection or segmentation model", &[".fpn."]),
    ("a detection or segmentation model", &["^backbone.layer1.", "^classifier."]),
    ("a video ResNet (3D convolutions)", &["^stem.0.", "^layer1.0.conv1.0."]),
    ("a language model", &[".self_attn."]),
    ("a language model", &[".attention.self."]),
    ("a language model", &[".wte."]),
    ("a diffusion model", &[".down_blocks."]),
];

/// Residual networks with a twist.
const VARIANTS: Marks = &[
    ("a ResNet-RS (a convolution in place of max-pooling)", &["^maxpool.0."]),
    ("an ECA-ResNet of another make than timm's", &[".eca."]),
    ("an SE-ResNet of another make than timm's", &[".se_module."]),
    ("a ResNeSt (split attention)", &[".conv2.fc1."]),
    ("an SKNet (selective kernels)", &[".paths."]),
    ("a Res2Net", &[".convs.0."]),
    ("a ResNet with blurred pooling (BlurPool)", &[".filt."]),
    ("a ResNet with blurred pooling (BlurPool)", &[".aa."]),
    ("an IBN-ResNet", &[".bn1.in."]),
    ("a quantised ResNet", &["._packed_params."]),
    ("a quantised ResNet", &[".zero_point."]),
    ("a quantised ResNet", &[".qweight."]),
];

/// Words in the prefix of a network that trains along with the one that is wanted.
const COMPANIONS: [&str; 4] = ["encoder_k", "momentum", "target", "student"];

/// Finds a ResNet that stands under a prefix beside tensors that don't, by canonical names. The advice has the file's own.
/// `block` is how its first block is named: `layer1.0.`, or `4.0.conv1.` in a Sequential of its children.
pub(crate) fn nested_resnet(tensors: &BTreeMap<String, Vec<usize>>, naming: &Naming, block: &str) -> Option<Diagnosis> {
    if tensors.keys().any(|name| name.starts_with(block)) {
        return None;
    }
    let block = format!(".{block}");
    let prefixes: BTreeSet<&str> = tensors.keys().filter_map(|name| Some(&name[..=name.find(&block)?])).collect();
    let prefixes: Vec<String> = prefixes.into_iter().map(|prefix| naming.original(prefix)).collect();
    let companion = |prefix: &&String| COMPANIONS.iter().any(|word| prefix.contains(word));
    let prefix = prefixes.iter().find(|prefix| !companion(prefix)).or(prefixes.first())?;
    let others: Vec<_> = prefixes.iter().filter(|other| *other != prefix).map(|other| format!("`{other}`")).collect();
    let what = match others.is_empty() {
        true => format!("its ResNet stands under `{prefix}`, but other tensors don't"),
        false => format!("its ResNet stands under `{prefix}`, others under {}", List(&others)),
    };
    Some(Diagnosis::new(
        what,
        format!(
            "save it alone: \
            `{{k.removeprefix(\"{prefix}\"): v for k, v in state_dict.items() if k.startswith(\"{prefix}\")}}`"
        ),
    ))
}

/// Tells whether a shortcut's convolution sees more than one pixel.
fn has_wide_shortcut(tensors: &BTreeMap<String, Vec<usize>>) -> bool {
    tensors.iter().any(|(name, shape)| name.ends_with(".downsample.0.weight") && matches!(shape[..], [.., 3, 3]))
}

/// Tells whether the blocks of a stage differ in width. Convolution and BatchNorm must agree on it: else a tensor is damaged.
fn is_pruned(tensors: &BTreeMap<String, Vec<usize>>) -> bool {
    let width = |name: &String| {
        let block = name.strip_suffix(".conv1.weight")?;
        let stage = block.strip_prefix("layer")?.split_once('.')?.0.to_owned();
        let (conv, norm) = (tensors.get(name)?.first()?, tensors.get(&format!("{block}.bn1.weight"))?.first()?);
        (conv == norm).then_some((stage, *conv))
    };
    let widths: BTreeSet<(String, usize)> = tensors.keys().filter_map(width).collect();
    let stages: BTreeSet<&str> = widths.iter().map(|(stage, _)| stage.as_str()).collect();
    widths.len() > stages.len()
}

/// Names the network that canonical tensor names and shapes show, if it is none that this crate runs.
pub(crate) fn other_network(tensors: &BTreeMap<String, Vec<usize>>) -> Option<Diagnosis> {
    let names: Vec<String> = tensors.keys().map(|name| format!("^.{}.", name.to_ascii_lowercase())).collect();
    let has = |mark: &str| {
        let mark = mark.replace('^', "^.");
        names.iter().any(|name| name.contains(&mark))
    };
    let find =
        |table: Marks| table.iter().find(|(_, marks)| marks.iter().all(|mark| has(mark))).map(|(network, _)| *network);
    let variant = || {
        let ends = |end: &str| tensors.keys().any(|name| name.ends_with(end));
        find(VARIANTS).or(if has_wide_shortcut(tensors) {
            Some("an SENet-154 (3x3 convolutions on the shortcuts)")
        } else if is_pruned(tensors) {
            Some("a pruned ResNet (blocks of unequal widths in a stage)")
        } else if !ends("bn1.weight") && has("^conv1.bias.") {
            Some("a ResNet whose BatchNorm is already folded into its convolutions")
        } else if ends(".bn1.weight") && !ends(".running_mean") {
            Some("a ResNet with GroupNorm, or one that has lost its BatchNorm statistics")
        } else if has("^conv1.weight.") && ends(".bn1.running_mean") && !has("^bn1.") {
            Some("a pre-activation ResNet (v2)")
        } else {
            None
        })
    };
    let network = find(FAMILIES).or_else(|| if has("^layer1.0.") { variant() } else { None })?;
    Some(Diagnosis::new(format!("this is {network}, which isn't supported"), SUPPORTED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;

    #[test]
    fn foreign_files_are_recognised() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let cases: [(&[u8], &str); 15] = [
            (b"", "empty"),
            (b"abc", "3 bytes long"),
            (b"PK\x03\x04\0\0\0\0archive/data.pkl", "ZIP"),
            (b"\x80\x02}q\0(X\x06\0\0\0", "pickle"),
            (&tar, "tar archive"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0", "gzip"),
            (b"GGUF\x03\0\0\0\0\0", "GGUF"),
            (b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
            (b"\x08\x07\x12\x07pytorch", "ONNX"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "LFS pointer"),
            (b"\n<!DOCTYPE html><html>", "web page"),
            (b"<?xml version='1.0'?><Error>", "web page"),
            (b"{\"metadata\": {}, \"weight_map\": {}}", "shards"),
            (b"{\"hidden_sizes\": []}", "JSON"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "isn't a safetensors file"),
        ];
        for (bytes, expected) in cases {
            let diagnosis = foreign_format(bytes).unwrap();
            assert!(diagnosis.what.contains(expected), "{diagnosis:?}");
        }
        assert_eq!(foreign_format(b"\x02\0\0\0\0\0\0\0{}"), None);
    }

    #[test]
    fn what_counts_in_a_header_is_its_keys() {
        let excessive = |text: String| {
            let bytes = [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
            excessive_header(&bytes).map(|diagnosis| diagnosis.what)
        };
        let entry = r#""a":{"dtype":"F32","shape":[1,1,1,1],"data_offsets":[0,4]}"#;
        assert_eq!(excessive(format!("{{{}}}", vec![entry; 10_000].join(","))), None);
        let what = excessive(format!("{{{}}}", vec![entry; 10_001].join(","))).unwrap();
        assert!(what.contains("10001 tensors"), "{what}");
        // Those of a label that holds JSON itself are its text.
        let text = entry.replace('"', "\\\"");
        assert_eq!(excessive(format!("{{\"__metadata__\":{{\"labels\":\"{}\"}}}}", text.repeat(20_000))), None);
    }

    fn recognised(names: &[(&str, &[usize])]) -> Option<String> {
        other_network(&names.iter().map(|(name, shape)| ((*name).into(), shape.to_vec())).collect())
            .map(|diagnosis| diagnosis.what)
    }

    #[test]
    fn other_families_are_recognised() {
        for (names, expected) in [
            (&["cls_token", "blocks.0.attn.qkv.weight"][..], "ViT"),
            (&["encoder.layers.encoder_layer_0.ln_1.weight", "class_token"], "ViT"),
            (&["visual.layer1.0.conv1.weight", "visual.attnpool.c_proj.weight"], "CLIP"),
            (&["conv_stem.weight", "bn2.weight", "blocks.0.0.conv_pw.weight"], "EfficientNet"),
            (&["features.0.0.weight", "features.1.0.block.0.0.weight"], "EfficientNet"),
            (&["conv_stem.weight", "conv_head.bias"], "MobileNet"),
            (&["features.0.0.weight", "features.1.conv.0.0.weight"], "MobileNet"),
            (&["stages.0.blocks.0.conv_dw.weight", "stages.0.blocks.0.mlp.fc1.weight"], "ConvNeXt"),
            (&["features.1.0.layer_scale", "features.0.0.weight"], "ConvNeXt"),
            (&["layers.0.blocks.0.attn.relative_position_bias_table"], "Swin"),
            (&["features.0.weight", "classifier.6.weight"], "VGG"),
            (
                &["stem.conv.weight", "stages.0.blocks.0.norm1.weight", "stages.0.blocks.0.conv2.weight"],
                "pre-activation",
            ),
            (&["model.layers.0.self_attn.q_proj.weight"], "language model"),
            (&["trunk_output.block1.block1-0.f.a.0.weight"], "RegNet"),
        ] {
            let names: Vec<(&str, &[usize])> = names.iter().map(|name| (*name, &[][..])).collect();
            let what = recognised(&names).unwrap_or_else(|| panic!("{names:?}"));
            assert!(what.contains(expected), "{what}");
        }
        assert_eq!(recognised(&[("some.weight", &[3])]), None);
    }

    #[test]
    fn variants_of_resnet_are_recognised() {
        type Edit = fn(&mut BTreeMap<String, Vec<usize>>);
        let edits: [(Edit, &str); 10] = [
            (|t| drop(t.insert("layer1.0.se_module.fc1.weight".into(), vec![16, 64, 1, 1])), "SE-ResNet"),
            (|t| drop(t.insert("layer1.0.eca.conv.weight".into(), vec![1, 1, 3])), "ECA-ResNet"),
            (|t| drop(t.insert("layer2.0.downsample.0.filt".into(), vec![64, 1, 3, 3])), "BlurPool"),
            (|t| drop(t.insert("maxpool.0.weight".into(), vec![64, 64, 3, 3])), "ResNet-RS"),
            (|t| drop(t.insert("layer2.0.downsample.0.weight".into(), vec![128, 64, 3, 3])), "SENet-154"),
            (
                |t| {
                    t.insert("layer2.1.conv1.weight".into(), vec![100, 128, 3, 3]);
                    t.insert("layer2.1.bn1.weight".into(), vec![100]);
                },
                "pruned",
            ),
            (|t| t.retain(|name, _| !name.starts_with("bn1.")), "pre-activation"),
            (|t| t.retain(|name, _| !name.contains("running_")), "GroupNorm"),
            (|t| drop(t.insert("layer1.0.convs.0.weight".into(), vec![26, 26, 3, 3])), "Res2Net"),
            (
                |t| {
                    t.retain(|name, _| !name.contains("bn"));
                    t.insert("conv1.bias".into(), vec![64]);
                },
                "already folded",
            ),
        ];
        for (edit, expected) in edits {
            let mut tensors = Architecture::named("resnet18", Some(10)).unwrap().tensors().into_iter().collect();
            assert_eq!(other_network(&tensors), None);
            edit(&mut tensors);
            let diagnosis = other_network(&tensors).unwrap_or_else(|| panic!("{expected}"));
            assert!(diagnosis.what.contains(expected), "{diagnosis:?}");
        }
    }
}
