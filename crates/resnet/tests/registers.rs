//! Guards what a GPU's compiler makes of the kernels, without a GPU: registers, spills and instructions of every pipeline that ResNets need.
//!
//! Mesa's driver for AMD compiles for any of its GPUs on a device that isn't there, and tells what became of each shader. What it told
//! stands in a file: a change fails here until it is meant. With another Mesa than the file's, only spills and many more registers fail.
#![cfg(target_os = "linux")]

use kernels::{
    Context, Family, Host, Precision, Tune, TuneTable,
    wgpu::{
        self, Backends, InstanceDescriptor, ShaderRuntimeChecks,
        hal::{
            self, Api, BindGroupLayoutDescriptor, ComputePipelineDescriptor, Device as _, NagaShader,
            PipelineLayoutDescriptor, ProgrammableStage, ShaderInput, ShaderModuleDescriptor, api::Vulkan,
        },
        naga,
    },
};
use resnet::{Architecture, Backbone, BackboneOptions, WeightFile};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    env,
    error::Error,
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

const UPDATE: &str = "UPDATE_REGISTERS=1 cargo test -p resnet --test registers";

/// GPUs to compile for: the name in the file, and what versions of Mesa call it.
const GPUS: [(&str, &[&str]); 2] = [("rdna2", &["navi21"]), ("rdna3", &["gfx1100", "navi31"])];

/// Figures to keep, by Mesa's names in small letters.
const FIGURES: [&str; 9] = [
    VGPRS,
    "spilled vgprs",
    "spilled sgprs",
    "scratch size",
    "lds size",
    "subgroups per simd",
    "instructions",
    "latency",
    "inverse throughput",
];
const VGPRS: &str = "vgprs";
const SPILLS: [&str; 2] = ["spilled vgprs", "spilled sgprs"];

/// Networks and batches whose plans are compiled; of the last two also every variant that `tune` may choose.
const NETWORKS: [(&str, usize, bool); 6] = [
    ("resnet18", 1, false),
    ("resnext50_32x4d", 8, false),
    ("resnet18d", 8, false),
    ("seresnet50", 8, false),
    ("resnet18", 8, true),
    ("resnet50", 8, true),
];

/// Figures of a GPU's pipelines, by name.
type Pipelines = BTreeMap<String, BTreeMap<String, u64>>;

/// The driver and its pipelines, or why there are none.
type Told = Result<(String, Pipelines), String>;

/// What Mesa made of the kernels.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Compiled {
    /// The driver and its version.
    driver: String,
    gpus: BTreeMap<String, Pipelines>,
}

/// Lines of the process that compiles: the driver's name, and the pipeline that the driver is about to tell of.
const DRIVER: &str = "registers: driver ";
const PIPELINE: &str = "registers: pipeline ";
const DONE: &str = "registers: done";
/// Names the file with the pipelines, for the process that compiles.
const PIPELINES: &str = "REHEAD_PIPELINES_TO_COMPILE";

#[test]
fn no_kernel_takes_more_registers_than_it_did() {
    let Some(manifest) = manifest() else {
        tell("NOT CHECKED: Mesa's driver for AMD isn't installed (Debian and Ubuntu: mesa-vulkan-drivers)");
        return;
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    serde_json::to_writer(&mut file, &pipelines()).unwrap();
    let got = match thread::scope(|scope| {
        let running = GPUS.map(|(gpu, names)| (gpu, scope.spawn(|| compile(names, &manifest, file.path()))));
        collect(running.map(|(gpu, running)| (gpu, running.join().expect("a panic was told"))))
    }) {
        Ok(got) => got,
        Err(told) => {
            tell(&format!("NOT CHECKED: Mesa's driver for AMD doesn't compile without a GPU here:\n{told}"));
            return;
        }
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registers.json");
    if env::var_os("UPDATE_REGISTERS").is_some() {
        fs::write(path, text(&got)).unwrap();
        return;
    }
    let expected = serde_json::from_slice(&fs::read(&path).unwrap_or_default()).unwrap_or_default();
    let lines = differences(&expected, &got);
    assert!(lines.is_empty(), "{}\nWhere that is meant: {UPDATE}", lines.join("\n"));
}

/// Writes the file: JSON with a line for each pipeline, so that a change shows as lines.
fn text(compiled: &Compiled) -> String {
    let json = |value: &str| serde_json::to_string(value).expect("plain text");
    let pipeline = |(name, figures): (&String, &BTreeMap<String, u64>)| {
        format!("\n      {}: {}", json(name), serde_json::to_string(figures).expect("plain numbers"))
    };
    let gpu = |(name, pipelines): (&String, &Pipelines)| {
        format!("\n    {}: {{{}\n    }}", json(name), pipelines.iter().map(pipeline).collect::<Vec<_>>().join(","))
    };
    let gpus = compiled.gpus.iter().map(gpu).collect::<Vec<_>>().join(",");
    format!("{{\n  \"driver\": {},\n  \"gpus\": {{{gpus}\n  }}\n}}\n", json(&compiled.driver))
}

/// Finds the file that tells Vulkan's loader of the driver.
fn manifest() -> Option<PathBuf> {
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let name = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("radeon_icd"));
    files.map(|file| file.path()).filter(name).max_by_key(|path| path.to_string_lossy().contains(env::consts::ARCH))
}

/// Puts together what was compiled for each GPU; an error where one wasn't.
fn collect<'a>(all: impl IntoIterator<Item = (&'a str, Told)>) -> Result<Compiled, String> {
    let mut compiled = Compiled::default();
    for (gpu, result) in all {
        let (driver, pipelines) = result?;
        compiled.driver = driver;
        compiled.gpus.insert(gpu.to_owned(), pipelines);
    }
    Ok(compiled)
}

/// Compiles for a GPU, in a process of its own: the driver reads its environment and tells on the standard error stream.
fn compile(names: &[&str], manifest: &Path, pipelines: &Path) -> Told {
    let mut told = String::new();
    for name in names {
        let output = Command::new(env::current_exe().expect("this test is a file"))
            .args(["--exact", "compiles_what_it_is_given", "--test-threads", "1", "--nocapture"])
            .env(PIPELINES, pipelines)
            .env("VK_DRIVER_FILES", manifest)
            .env("VK_ICD_FILENAMES", manifest)
            .env("RADV_FORCE_FAMILY", name)
            .env("RADV_DEBUG", "nocache,shaderstats")
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .output()
            .map_err(|error| error.to_string())?;
        told = String::from_utf8_lossy(&output.stderr).into_owned();
        // From where the device opens it works here, and what doesn't is an error.
        if told.contains(DRIVER) {
            assert!(told.contains(DONE), "a kernel doesn't compile for {name}:\n{}", end(&told));
            return Ok(parse(&told));
        }
    }
    Err(end(&told))
}

/// Takes the last lines of a text.
fn end(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Reads what the driver told of each pipeline.
fn parse(told: &str) -> (String, Pipelines) {
    let (mut driver, mut pipelines, mut current) = (String::new(), Pipelines::new(), None);
    for line in told.lines() {
        if let Some(name) = line.strip_prefix(DRIVER) {
            name.clone_into(&mut driver);
        } else if let Some(name) = line.strip_prefix(PIPELINE) {
            current = Some(pipelines.entry(name.to_owned()).or_default());
        } else if let (Some(figures), Some((name, value))) = (&mut current, line.split_once(": ")) {
            let name = name.trim().to_lowercase();
            if let (true, Ok(value)) = (FIGURES.contains(&&*name), value.trim().parse()) {
                figures.insert(name, value);
            }
        }
    }
    for (name, figures) in &pipelines {
        assert!(figures.contains_key(VGPRS), "the driver told nothing of {name}");
    }
    (driver, pipelines)
}

/// Writes a line for each figure that isn't what the file says; of another Mesa than the file's only what is worse for certain.
fn differences(expected: &Compiled, got: &Compiled) -> Vec<String> {
    let same = expected.driver == got.driver;
    let mut lines = Vec::new();
    for (gpu, pipelines) in &got.gpus {
        let before = expected.gpus.get(gpu).cloned().unwrap_or_default();
        for (name, figures) in pipelines {
            let known = before.get(name);
            if known.is_none() && same {
                lines.push(format!("{gpu}, {name}: isn't in the file"));
            }
            for (figure, &got) in figures {
                let expected = known.and_then(|figures| figures.get(figure).copied());
                let spill = SPILLS.contains(&figure.as_str());
                let most = match expected {
                    Some(expected) if same || spill => expected,
                    Some(expected) if figure == VGPRS => expected + expected / 10,
                    None if spill => 0,
                    _ => continue,
                };
                let was = expected.unwrap_or(0);
                if got > most {
                    lines.push(format!("{gpu}, {name}: {figure} grew from {was} to {got}"));
                } else if same && got < most {
                    lines.push(format!("{gpu}, {name}: {figure} fell from {was} to {got}"));
                }
            }
        }
        let gone = before.keys().filter(|name| same && !pipelines.contains_key(*name));
        lines.extend(gone.map(|name| format!("{gpu}, {name}: no plan needs it any more")));
    }
    lines
}

/// Says something that the tests' harness doesn't hold back.
fn tell(line: &str) {
    // Who doesn't listen misses nothing else.
    let _ = writeln!(io::stderr(), "{line}");
}

/// A pipeline to compile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pipeline {
    shader: String,
    entry: String,
    constants: Vec<(String, f64)>,
}

impl fmt::Display for Pipeline {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.shader, self.entry)?;
        self.constants.iter().try_for_each(|(name, value)| write!(out, " {name}={value}"))
    }
}

/// Lists the pipelines of the networks' plans, by planning and binding them on the machine's adapter.
fn pipelines() -> Vec<Pipeline> {
    let instance = wgpu::Instance::new(InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter to plan on");
    let host = pollster::block_on(Host::open(&adapter, wgpu::Features::empty(), adapter.limits())).expect("it opens");
    let mut all = BTreeMap::new();
    for (name, batch, tuned) in NETWORKS {
        let network = Architecture::named(name, None).expect("a published network");
        let weights = weights(&network);
        for precision in [Precision::F32, Precision::F16] {
            let options = BackboneOptions { precision, ..BackboneOptions::new(batch) };
            for table in tables(&host, &network, &options, tuned) {
                let mut tune = Tune::new(Family::Tiled);
                tune.table = table;
                let context = Context::with_tune(&host.device, tune);
                Backbone::new(&context, &host.queue, &weights, &options).expect("the network is planned and bound");
                context.each_pipeline(|shader, entry, constants| {
                    let constants = constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
                    let pipeline = Pipeline { shader: shader.to_owned(), entry: entry.to_owned(), constants };
                    all.insert(pipeline.to_string(), pipeline);
                });
            }
        }
    }
    all.into_values().collect()
}

/// Lists tables by which every variant of every layer gets its turn; without `tuned`, only the empty one of the defaults.
fn tables(host: &Host, network: &Architecture, options: &BackboneOptions, tuned: bool) -> Vec<TuneTable> {
    let context = Context::with_tune(&host.device, Tune::new(Family::Tiled));
    let layers = network.layers(&context, options).expect("the network is planned");
    let turn = |number: usize| -> TuneTable {
        layers.iter().filter_map(|layer| Some((layer.class()?, *layer.variants().get(number)?))).collect()
    };
    let others = (1..).map(turn).take_while(|table| tuned && !table.is_empty());
    [TuneTable::new()].into_iter().chain(others).collect()
}

/// Does the other process's work; by itself it does nothing.
#[test]
fn compiles_what_it_is_given() {
    let Some(pipelines) = env::var_os(PIPELINES) else { return };
    let pipelines: Vec<Pipeline> = serde_json::from_slice(&fs::read(pipelines).unwrap()).unwrap();
    let instance = wgpu::Instance::new(InstanceDescriptor {
        backends: Backends::VULKAN,
        ..InstanceDescriptor::new_without_display_handle()
    });
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter without a GPU");
    let info = adapter.get_info();
    // The device that isn't there has no semaphores, which wgpu wants; its Vulkan layer compiles without.
    // SAFETY: the adapter is Vulkan's, and outlives what is taken from it here.
    let adapter = unsafe { adapter.as_hal::<Vulkan>() }.expect("Vulkan's adapter");
    let features = wgpu::Features::SUBGROUP;
    // SAFETY: a device of RADV has subgroups and WebGPU's default limits.
    let opened = unsafe { adapter.open_with_callback(features, &wgpu::Limits::default(), &Default::default(), None) };
    let device = opened.expect("the device opens").device;
    tell(&format!("{DRIVER}{} {}", info.driver, info.driver_info));
    for pipeline in &pipelines {
        tell(&format!("{PIPELINE}{pipeline}"));
        compile_one(&device, pipeline).unwrap_or_else(|error| panic!("{pipeline}: {error}"));
    }
    tell(DONE);
}

/// Compiles a pipeline as wgpu does on hardware: without checks at run time, and workgroup memory as it is.
fn compile_one(device: &<Vulkan as Api>::Device, pipeline: &Pipeline) -> Result<(), Box<dyn Error>> {
    let shader = shaders::ALL.iter().find(|shader| shader.name == pipeline.shader).ok_or("there is no such shader")?;
    let module = naga::front::wgsl::parse_str(shader.source)?;
    let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all())
        .validate(&module)?;
    let mut entries: Vec<_> = module.global_variables.iter().filter_map(|(_, variable)| entry(variable)).collect();
    entries.sort_by_key(|entry| entry.binding);
    let constants = pipeline.constants.iter().cloned().collect();
    let shader = NagaShader { module: Cow::Owned(module), info, debug_source: None };
    let descriptor = ShaderModuleDescriptor { label: None, runtime_checks: ShaderRuntimeChecks::unchecked() };
    let flags = hal::BindGroupLayoutFlags::empty();
    let group = BindGroupLayoutDescriptor { label: None, flags, entries: &entries };
    // SAFETY: the module was validated, the layout has all that it binds, and the process ends soon: nothing is destroyed too early.
    unsafe {
        let module = device.create_shader_module(&descriptor, ShaderInput::Naga(shader))?;
        let group = device.create_bind_group_layout(&group)?;
        let flags = hal::PipelineLayoutFlags::empty();
        let bind_group_layouts = &[Some(&group)];
        let layout = PipelineLayoutDescriptor { label: None, flags, bind_group_layouts, immediate_size: 0 };
        let layout = device.create_pipeline_layout(&layout)?;
        let (entry_point, constants) = (pipeline.entry.as_str(), &constants);
        let stage =
            ProgrammableStage { module: &module, entry_point, constants, zero_initialize_workgroup_memory: false };
        device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: None,
            layout: &layout,
            stage,
            cache: None,
        })?;
    }
    Ok(())
}

/// Makes the entry of a bind group's layout for a variable of the tiled kernels, which bind buffers alone.
fn entry(variable: &naga::GlobalVariable) -> Option<wgpu::BindGroupLayoutEntry> {
    let ty = match variable.space {
        naga::AddressSpace::Uniform => wgpu::BufferBindingType::Uniform,
        naga::AddressSpace::Storage { access } => {
            wgpu::BufferBindingType::Storage { read_only: !access.contains(naga::StorageAccess::STORE) }
        }
        _ => return None,
    };
    Some(wgpu::BindGroupLayoutEntry {
        binding: variable.binding?.binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    })
}

/// Makes a file of weights that are all zero: kernels don't depend on them.
fn weights(network: &Architecture) -> WeightFile {
    let tensors = network.tensors();
    let zeros = |shape: &[usize]| vec![0u8; 4 * shape.iter().product::<usize>()];
    let data: Vec<_> = tensors.iter().map(|(name, shape)| (name, shape, zeros(shape))).collect();
    let views = data.iter().map(|(name, shape, zeros)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), zeros).expect("as many bytes as the shape says"))
    });
    WeightFile::from_bytes(safetensors::serialize(views, None).expect("a file in memory")).expect("a complete file")
}

#[test]
fn what_is_worse_is_seen() {
    let compiled = |driver: &str, vgprs: u64, spilled: u64| {
        let told = format!(
            "{DRIVER}{driver}\nVGPRs: 7\n{PIPELINE}conv2d main\n*** SHADER STATS ***\nVGPRs: {vgprs}\nSpilled VGPRs: {spilled}\n***"
        );
        let (driver, pipelines) = parse(&told);
        Compiled { driver, gpus: BTreeMap::from([("rdna2".to_owned(), pipelines)]) }
    };
    let file = compiled("Mesa 1", 100, 0);
    assert!(differences(&file, &file).is_empty());
    assert_eq!(differences(&file, &compiled("Mesa 1", 101, 0)), ["rdna2, conv2d main: vgprs grew from 100 to 101"]);
    assert_eq!(differences(&file, &compiled("Mesa 1", 96, 0)), ["rdna2, conv2d main: vgprs fell from 100 to 96"]);
    assert!(differences(&file, &compiled("Mesa 2", 110, 0)).is_empty());
    assert_eq!(differences(&file, &compiled("Mesa 2", 111, 0)), ["rdna2, conv2d main: vgprs grew from 100 to 111"]);
    assert_eq!(differences(&file, &compiled("Mesa 2", 90, 1)), ["rdna2, conv2d main: spilled vgprs grew from 0 to 1"]);
    let empty = Compiled { driver: "Mesa 1".to_owned(), ..Compiled::default() };
    assert_eq!(differences(&empty, &file), ["rdna2, conv2d main: isn't in the file"]);
    let none = Compiled { gpus: BTreeMap::from([("rdna2".to_owned(), Pipelines::new())]), ..empty };
    assert_eq!(differences(&file, &none), ["rdna2, conv2d main: no plan needs it any more"]);
    assert_eq!(serde_json::from_str::<Compiled>(&text(&file)).unwrap(), file);
}
