//! Weight files as users have them: all spellings and number formats, and all that can be wrong.

use half::{bf16, f16};
use proptest::prelude::*;
use resnet::{Architecture, Attention, Block, Error, Stage, WeightFile};
use testkit::formula;

/// A tensor on its way into a file.
#[derive(Clone)]
struct Tensor {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    fn new(name: &str, dtype: &'static str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = match dtype {
            "F16" => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            "BF16" => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
            "F64" => values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
            "F32" => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            _ => values.iter().map(|v| *v as u8).collect(),
        };
        Self { name: name.into(), dtype, shape: shape.into(), bytes }
    }
}

fn file(tensors: &[Tensor]) -> Vec<u8> {
    let tensors: Vec<_> =
        tensors.iter().map(|t| (t.name.as_str(), t.dtype, t.shape.as_slice(), t.bytes.as_slice())).collect();
    formula::safetensors(&tensors)
}

fn small() -> Architecture {
    Architecture::basic([1, 1, 1, 1], [4, 8, 8, 16], Some(3))
}

fn tensors(architecture: &Architecture, dtype: &'static str) -> Vec<Tensor> {
    let draw =
        |(name, shape): (String, Vec<usize>)| Tensor::new(&name, dtype, &shape, &formula::tensor(&name, &shape, "bn2"));
    architecture.tensors().into_iter().map(draw).collect()
}

fn open(tensors: &[Tensor]) -> Result<WeightFile, Error> {
    WeightFile::from_bytes(file(tensors))
}

/// Gives the error of opening the small network after `edit`.
fn complaint(edit: impl FnOnce(&mut Vec<Tensor>)) -> String {
    let mut tensors = tensors(&small(), "F32");
    edit(&mut tensors);
    open(&tensors).expect_err("it should be refused").to_string()
}

fn find<'a>(tensors: &'a mut [Tensor], name: &str) -> &'a mut Tensor {
    tensors.iter_mut().find(|tensor| tensor.name == name).expect(name)
}

fn assert_contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` isn't in: {message}");
    }
}

#[test]
fn every_number_format_gives_the_same_weights() {
    let expected = open(&tensors(&small(), "F32")).unwrap();
    for (dtype, epsilon) in [("F16", 1e-3), ("BF16", 8e-3)] {
        let mut mixed = tensors(&small(), dtype);
        for tensor in &mut mixed {
            if tensor.name.contains("bn") {
                let values = formula::tensor(&tensor.name, &tensor.shape, "bn2");
                *tensor = Tensor::new(&tensor.name, "F32", &tensor.shape, &values);
            }
        }
        let mixed = open(&mixed).unwrap();
        let mut largest = 0.0_f32;
        for (got, expected) in mixed.convs().zip(expected.convs()) {
            let (got, expected) = (got.unwrap(), expected.unwrap());
            assert_eq!(got.spec, expected.spec);
            assert_eq!(got.bias.len(), expected.bias.len());
            for (got, expected) in got.weight.iter().zip(&expected.weight) {
                assert!((got - expected).abs() <= epsilon * expected.abs().max(1e-3), "{dtype}: {got} {expected}");
                largest = largest.max((got - expected).abs());
            }
        }
        assert!(largest > 0.0, "{dtype} was never rounded");
    }
}

#[test]
fn transformers_names_and_prefixes_give_the_same_weights() {
    let bottleneck = Architecture::named("resnet50", Some(2)).unwrap();
    for architecture in [small(), bottleneck] {
        let ours = tensors(&architecture, "F16");
        let plain = open(&ours).unwrap();
        // As transformers builds its modules, not as the library maps names.
        let mut renamed: Vec<(String, String)> = Vec::new();
        let parts = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];
        let mut module = |theirs: String, conv: String, norm: String| {
            renamed.push((format!("{theirs}.convolution.weight"), format!("{conv}.weight")));
            for part in parts {
                renamed.push((format!("{theirs}.normalization.{part}"), format!("{norm}.{part}")));
            }
        };
        module("embedder.embedder".into(), "conv1".into(), "bn1".into());
        for (s, stage) in architecture.stages.iter().enumerate() {
            for b in 0..stage.blocks {
                let (theirs, ours) = (format!("encoder.stages.{s}.layers.{b}"), format!("layer{}.{b}", s + 1));
                for i in 0..architecture.block.convolutions() {
                    let (conv, norm) = (format!("{ours}.conv{}", i + 1), format!("{ours}.bn{}", i + 1));
                    module(format!("{theirs}.layer.{i}"), conv, norm);
                }
                if b == 0 && stage.projection {
                    module(
                        format!("{theirs}.shortcut"),
                        format!("{ours}.downsample.0"),
                        format!("{ours}.downsample.1"),
                    );
                }
            }
        }
        for (root, wrapper) in [("", ""), ("resnet.", ""), ("resnet.", "module.")] {
            let mut theirs: Vec<Tensor> = renamed
                .iter()
                .map(|(theirs, name)| {
                    let tensor = ours.iter().find(|tensor| tensor.name == *name).cloned();
                    let counter = || Tensor { name: name.clone(), dtype: "I64", shape: vec![], bytes: vec![0; 8] };
                    Tensor { name: format!("{wrapper}{root}{theirs}"), ..tensor.unwrap_or_else(counter) }
                })
                .collect();
            for part in ["weight", "bias"] {
                let head = ours.iter().find(|tensor| tensor.name == format!("fc.{part}")).unwrap();
                theirs.push(Tensor { name: format!("{wrapper}classifier.1.{part}"), ..head.clone() });
            }
            let opened = open(&theirs).unwrap();
            assert_eq!(opened.architecture(), &architecture);
            assert!(opened.backbone_tensors().eq(plain.backbone_tensors()));
            assert!(
                opened.tensors().map(|(name, _)| name.to_owned()).eq(plain.tensors().map(|(name, _)| name.to_owned()))
            );
            assert!(opened.convs().zip(plain.convs()).all(|(a, b)| a.unwrap() == b.unwrap()));
            assert_eq!(opened.head().unwrap(), plain.head().unwrap());
            theirs.retain(|tensor| !tensor.name.ends_with("stages.2.layers.0.layer.0.normalization.bias"));
            let error = open(&theirs).unwrap_err().to_string();
            assert_contains(
                &error,
                &[&format!("`{wrapper}{root}encoder.stages.2.layers.0.layer.0.normalization.bias`")],
            );
        }
    }
    let mut wrapped = tensors(&small(), "F32");
    wrapped.iter_mut().for_each(|tensor| tensor.name.insert_str(0, "module.backbone."));
    assert_eq!(open(&wrapped).unwrap().architecture(), &small());
}

#[test]
fn everything_that_does_not_fit_is_reported_at_once() {
    let error = complaint(|tensors| {
        tensors.retain(|tensor| tensor.name != "layer4.0.downsample.0.weight");
        find(tensors, "layer2.0.bn1.weight").name = "layer2.0.bn1.wieght".into();
        find(tensors, "layer3.0.conv1.weight").shape = vec![8, 72];
        tensors.push(Tensor::new("projector.weight", "F32", &[1], &[0.0]));
    });
    assert_contains(
        &error,
        &[
            "whole resnet-basic-1-1-1-1-w4-8-8-16",
            "2 missing",
            "`layer4.0.downsample.0.weight`",
            "`layer2.0.bn1.weight` (nearest present: `layer2.0.bn1.wieght`)",
            "2 unexpected",
            "`projector.weight`",
            "1 misshapen",
            "`layer3.0.conv1.weight` is [8, 72], expected [8, 8, 3, 3]",
        ],
    );
}

#[test]
fn what_is_missing_of_a_deep_stem_a_pooled_shortcut_or_a_gate_is_named() {
    let mut architecture = small();
    architecture.deep_stem = Some([2, 3]);
    architecture.pooled_shortcuts = true;
    architecture.stages.iter_mut().for_each(|stage| stage.attention = Some(Attention::SqueezeExcite { reduced: 2 }));
    architecture.stages[3].attention = Some(Attention::Efficient { kernel: 5 });
    let name = "resnet-basic-1-1-1-1-w4-8-8-16-deep2-3-avgpool-se2-2-2-0-eca0-0-0-5";
    let whole = tensors(&architecture, "F32");
    assert_eq!(open(&whole).unwrap().architecture().to_string(), name);
    for missing in ["conv1.3.weight", "conv1.6.weight", "layer2.0.downsample.1.weight", "layer1.0.se.fc2.bias"] {
        let rest: Vec<Tensor> = whole.iter().filter(|tensor| tensor.name != missing).cloned().collect();
        let error = open(&rest).unwrap_err().to_string();
        assert_contains(&error, &[&format!("whole {name}"), &format!("1 missing: `{missing}`")]);
    }
}

#[test]
fn a_backbone_without_head_gives_features_only() {
    let mut headless = small();
    headless.classes = None;
    let opened = open(&tensors(&headless, "F32")).unwrap();
    assert_eq!(opened.architecture().features(), 16);
    assert!(matches!(opened.head(), Err(Error::NoHead { .. })));
    assert_contains(&complaint(|t| t.retain(|tensor| tensor.name != "fc.bias")), &["1 missing: `fc.bias`"]);
}

#[test]
fn a_head_of_another_name_is_left_aside() {
    let headless = Architecture { classes: None, ..small() };
    let rename = |to: &str| {
        let mut tensors = tensors(&small(), "F32");
        tensors.iter_mut().for_each(|tensor| tensor.name = tensor.name.replace("fc.", to));
        tensors
    };
    for head in ["head.", "last_linear.", "fc.1.", "classifier.1.", "head.fc."] {
        let opened = open(&rename(head)).expect(head);
        assert_eq!(opened.architecture(), &headless);
        assert!(opened.tensors().map(|(name, _)| name).all(|name| !name.starts_with(head)));
        assert!(matches!(opened.head(), Err(Error::NoHead { .. })));
    }
    assert_contains(&open(&rename("projector.")).unwrap_err().to_string(), &["2 unexpected: `projector.bias`"]);
    // Two heads, or a network that isn't whole beside one.
    let mut two = rename("head.");
    two.push(Tensor::new("classifier.weight", "F32", &[1], &[0.0]));
    assert_contains(&open(&two).unwrap_err().to_string(), &["3 unexpected"]);
    let mut less = rename("head.");
    less.retain(|tensor| tensor.name != "bn1.bias");
    assert_contains(&open(&less).unwrap_err().to_string(), &["1 missing: `bn1.bias`"]);
}

#[test]
fn a_sequential_of_the_children_gives_the_same_weights() {
    let plain = open(&tensors(&small(), "F32")).unwrap();
    let places =
        [("conv1.", "0."), ("bn1.", "1."), ("layer1.", "4."), ("layer2.", "5."), ("layer3.", "6."), ("layer4.", "7.")];
    for prefix in ["", "backbone."] {
        let mut children = tensors(&small(), "F32");
        for tensor in &mut children {
            let place = places.iter().chain(&[("fc.", "9.")]).find(|(module, _)| tensor.name.starts_with(module));
            let (module, place) = place.unwrap();
            tensor.name = format!("{prefix}{place}{}", &tensor.name[module.len()..]);
        }
        let opened = open(&children).unwrap();
        assert_eq!(opened.architecture(), &small());
        assert!(opened.convs().zip(plain.convs()).all(|(a, b)| a.unwrap() == b.unwrap()));
        assert_eq!(opened.head().unwrap(), plain.head().unwrap());
    }
    let mut beside = tensors(&small(), "F32");
    for tensor in &mut beside {
        if let Some((module, place)) = places.iter().find(|(module, _)| tensor.name.starts_with(module)) {
            tensor.name = format!("features.{place}{}", &tensor.name[module.len()..]);
        }
        tensor.name = tensor.name.replace("fc.", "classifier.");
    }
    assert_contains(
        &open(&beside).unwrap_err().to_string(),
        &["stands under `features.`", "removeprefix(\"features.\")"],
    );
}

#[test]
fn the_advice_for_a_nested_network_selects_its_tensors() {
    let under = |prefixes: &[&str], beside: &str| {
        let headless = Architecture { classes: None, ..small() };
        let mut all = vec![Tensor::new(beside, "F32", &[1], &[0.0])];
        for prefix in prefixes {
            let mut tensors = tensors(&headless, "F32");
            tensors.iter_mut().for_each(|tensor| tensor.name.insert_str(0, prefix));
            all.extend(tensors);
        }
        let message = open(&all).unwrap_err().to_string();
        let prefix =
            message.split("startswith(\"").nth(1).and_then(|rest| rest.split('"').next()).expect(&message).to_owned();
        assert_contains(&message, &[&format!("removeprefix(\"{prefix}\")")]);
        // What the printed code does.
        let selected = all.iter().filter_map(|tensor| {
            Some(Tensor { name: tensor.name.strip_prefix(&prefix)?.to_owned(), ..tensor.clone() })
        });
        assert_eq!(open(&selected.collect::<Vec<_>>()).unwrap().architecture(), &headless, "{message}");
        prefix
    };
    assert_eq!(under(&["module.backbone."], "module.head.mlp.0.weight"), "module.backbone.");
    assert_eq!(under(&["module.encoder_k.", "module.encoder_q."], "module.queue"), "module.encoder_q.");
    assert_eq!(under(&["student.backbone.", "teacher.backbone."], "epoch"), "teacher.backbone.");
    assert_eq!(under(&["ema.module.", "model.module."], "step"), "ema.module.");
}

#[test]
fn values_that_nothing_can_run_on_are_refused_by_name() {
    let set = |name: &'static str, value: f32| {
        complaint(move |tensors| find(tensors, name).bytes[4..8].copy_from_slice(&value.to_le_bytes()))
    };
    assert_contains(&set("layer1.0.conv1.weight", f32::NAN), &["`layer1.0.conv1.weight` holds NaN at index 1"]);
    assert_contains(&set("fc.bias", f32::INFINITY), &["`fc.bias` holds inf"]);
    assert_contains(&set("bn1.running_var", -0.5), &["`bn1.running_var` holds -0.5"]);
    let zero = |tensors: &mut Vec<Tensor>| find(tensors, "bn1.running_var").bytes.fill(0);
    let mut fine = tensors(&small(), "F32");
    zero(&mut fine);
    open(&fine).expect("a variance of zero, plus eps, is positive");
}

#[test]
fn number_formats_that_are_not_read_are_named() {
    let store = |dtype: &'static str, name: Option<&'static str>| {
        complaint(move |tensors| {
            for tensor in tensors.iter_mut().filter(|tensor| name.is_none_or(|name| tensor.name == name)) {
                *tensor = Tensor::new(&tensor.name, dtype, &tensor.shape, &vec![1.0; tensor.shape.iter().product()]);
            }
        })
    };
    assert_contains(&store("F64", None), &["more are stored as F64", "tensor.float()"]);
    assert_contains(&store("I8", Some("fc.weight")), &["fc.weight is stored as I8", "quantised"]);
    assert_contains(&store("F8_E4M3", Some("conv1.weight")), &["conv1.weight is stored as F8_E4M3"]);
}

#[test]
fn other_networks_are_recognised() {
    let rename = |from: &'static str, to: &'static str| {
        complaint(move |tensors| tensors.iter_mut().for_each(|tensor| tensor.name = tensor.name.replace(from, to)))
    };
    let pool = |tensors: &mut Vec<Tensor>| tensors.push(Tensor::new("maxpool.0.weight", "F32", &[1], &[0.0]));
    assert_contains(&complaint(pool), &["ResNet-RS", "supported are plain ResNets"]);
    assert_contains(&rename("layer4", "stage4"), &["no tensor of stage `layer4`", "bn1.bias"]);
    let se = complaint(|tensors| tensors.push(Tensor::new("layer1.0.se_module.fc1.weight", "F32", &[1], &[0.0])));
    assert_contains(&se, &["SE-ResNet of another"]);
    let beside = complaint(|tensors| {
        for tensor in tensors.iter_mut().filter(|tensor| !tensor.name.starts_with("fc.")) {
            tensor.name.insert_str(0, "backbone.");
        }
    });
    assert_contains(&beside, &["stands under `backbone.`", "removeprefix(\"backbone.\")"]);
    let vit = open(&[Tensor::new("cls_token", "F32", &[1], &[0.0])]).unwrap_err().to_string();
    assert_contains(&vit, &["vision transformer"]);
    let empty = open(&[]).unwrap_err().to_string();
    assert_contains(&empty, &["layer1", "0 tensors"]);
}

#[test]
fn files_are_opened_by_path_and_their_faults_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let whole = file(&tensors(&small(), "F16"));
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        WeightFile::open(&path)
    };
    assert_eq!(open(&whole).unwrap().architecture(), &small());
    let says = |bytes: &[u8], parts: &[&str]| {
        let error = open(bytes).unwrap_err().to_string();
        assert_contains(&error, parts);
        assert_contains(&error, &["model.safetensors: "]);
    };
    says(b"", &["empty", "download it again"]);
    says(&whole[..whole.len() - 1], &["truncated", &format!("{} bytes of {}", whole.len() - 1, whole.len())]);
    says(&whole[..100], &["truncated", "header alone"]);
    says(&[&whole[..], b"\0\0"].concat(), &["2 bytes after its last tensor"]);
    says(b"<!DOCTYPE html><title>Log in</title>", &["web page"]);
    says(b"PK\x03\x04\x00\x00\x08\x08\x00\x00archive/data.pkl", &["ZIP", "tools/convert.py"]);
    says(b"version https://git-lfs.github.com/spec/v1\noid sha256:0", &["git lfs pull"]);
    says(br#"{"metadata": {"total_size": 1}, "weight_map": {}}"#, &["shards"]);
    let missing = WeightFile::open(folder.path().join("none.safetensors")).unwrap_err();
    assert!(matches!(&missing, Error::Io { path, .. } if path.ends_with("none.safetensors")), "{missing}");
    assert!(matches!(WeightFile::open(folder.path()), Err(Error::Io { .. })));
}

#[test]
fn what_becomes_of_a_file_does_not_change_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let whole = file(&tensors(&small(), "F32"));
    let read = |opened: &WeightFile| opened.convs().map(|conv| conv.unwrap().weight).collect::<Vec<_>>();
    let expected = read(&WeightFile::from_bytes(whole.clone()).unwrap());
    for after in [vec![0x3f; whole.len()], b"cut".to_vec(), Vec::new()] {
        std::fs::write(&path, &whole).unwrap();
        let opened = WeightFile::open(&path).unwrap();
        // In place, as `cp` does.
        std::fs::write(&path, after).unwrap();
        assert!(read(&opened) == expected && opened.bytes() == whole);
    }
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_read() {
    for device in ["/dev/zero", "/dev/null"] {
        let error = WeightFile::open(device).unwrap_err();
        let Error::Io { source, .. } = &error else { panic!("{error:?}") };
        assert_contains(&source.to_string(), &["no regular file"]);
    }
}

#[test]
fn a_large_file_of_others_is_refused_by_its_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    // A terabyte, of which the system stores the beginning alone.
    let end = 1_u64 << 40;
    let header = format!(
        r#"{{"ln.bias":{{"dtype":"I8","shape":[0],"data_offsets":[0,0]}},"wte.weight":{{"dtype":"I8","shape":[{end}],"data_offsets":[0,{end}]}}}}"#
    );
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    if file.set_len(8 + header.len() as u64 + end).is_ok() {
        assert_contains(&WeightFile::open(&path).unwrap_err().to_string(), &["language model"]);
    }
}

#[test]
fn a_header_that_no_network_has_is_refused_before_it_is_parsed() {
    let whole = |header: String| [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    let open = |header: String| WeightFile::from_bytes(whole(header)).unwrap_err();
    let entries = |n: usize| {
        let entry = |i| format!(r#""layer1.0.t{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
        format!("{{{}}}", (0..n).map(entry).collect::<Vec<_>>().join(","))
    };
    // 3 MB: parsed they would take some ten times as much.
    let many = open(entries(50_000));
    assert!(matches!(many, Error::Unsupported { .. }), "{many:?}");
    assert_contains(&many.to_string(), &["36363 tensors or more", "no ResNet"]);
    let long = open(format!(r#"{{"__metadata__":{{"a":"{}"}}}}"#, " ".repeat(9 << 20)));
    assert_contains(&long.to_string(), &["its header takes 9437", "no ResNet"]);
    // As many as are read, and all of them unexpected: said at once.
    let start = std::time::Instant::now();
    assert_contains(&open(entries(9_000)).to_string(), &["of its 9000 tensors"]);
    let named = Architecture::named("resnet152", Some(3)).unwrap().tensors();
    let empty =
        |(name, _): &(String, Vec<usize>)| format!(r#""{name}_":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}},"#);
    let names: String = named.iter().map(empty).collect();
    open(entries(9_000).replacen('{', &format!("{{{names}"), 1));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn what_the_formats_parser_says_is_kept() {
    // A header of two bytes that isn't JSON: the file's length tells nothing.
    let error = WeightFile::from_bytes(&b"\x02\0\0\0\0\0\0\0{]"[..]).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert_eq!(error.to_string(), "weights in memory: the file is damaged; download it again");
    assert!(std::error::Error::source(&error).is_some_and(|cause| !cause.to_string().is_empty()));
}

fn any_stage(block: Block) -> impl Strategy<Value = Stage> {
    let attention = prop_oneof![
        Just(None),
        (1_usize..5).prop_map(|reduced| Some(Attention::SqueezeExcite { reduced })),
        (0_usize..4).prop_map(|half| Some(Attention::Efficient { kernel: 2 * half + 1 })),
    ];
    (1_usize..4, 1_usize..7, 1_usize..4, 1_usize..4, attention).prop_map(
        move |(blocks, width, group_width, groups, attention)| {
            let (inner, groups) = match block {
                Block::Basic => (width, 1),
                Block::Bottleneck => (group_width * groups, groups),
            };
            Stage { blocks, width, inner, groups, projection: true, attention }
        },
    )
}

fn any_architecture() -> impl Strategy<Value = Architecture> {
    let stages = prop_oneof![Just(Block::Basic), Just(Block::Bottleneck)]
        .prop_flat_map(|block| (Just(block), std::array::from_fn::<_, 4, _>(|_| any_stage(block))));
    let deep_stem = proptest::option::of([1_usize..6, 1_usize..6]);
    (stages, 1_usize..7, deep_stem, any::<[bool; 2]>(), proptest::option::of(1_usize..9)).prop_map(
        |((block, mut stages), stem_width, deep_stem, [projection, pooled_shortcuts], classes)| {
            stages[0].projection = projection || stages[0].width != stem_width;
            Architecture { block, stem_width, deep_stem, pooled_shortcuts, stages, classes }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_network_of_the_family_is_found(architecture in any_architecture()) {
        let opened = open(&tensors(&architecture, "F16")).unwrap();
        prop_assert_eq!(opened.architecture(), &architecture);
        prop_assert_eq!(opened.convs().map(|conv| conv.unwrap().spec).collect::<Vec<_>>(),
            architecture.network().convs().cloned().collect::<Vec<_>>());
        for gate in architecture.network().blocks.iter().flat_map(|block| &block.gate) {
            prop_assert_eq!(opened.gate(gate).unwrap().0.len(), gate.weight_shape().iter().product::<usize>());
        }
        prop_assert_eq!(opened.head().is_ok(), architecture.classes.is_some());
    }
}
