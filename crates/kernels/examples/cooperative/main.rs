//! What an adapter's cooperative matrices do: their shapes, what the loads and strides mean, and how fast tiles of a product are.
//!
//! ```text
//! cargo run --release -p kernels --example cooperative [-- --spirv FOLDER]
//! ```
//!
//! Every shader is validated before an adapter is asked, so that mistakes show on machines without the feature.
//! `--spirv` writes them as SPIR-V too.

mod texts;

use bytemuck::Pod;
use half::f16;
use kernels::wgpu::{self, naga, util::DeviceExt};
use std::time::Instant;
use texts::{How, LANES, Source, Tile, smoke_text, tiles};

type Failure = Box<dyn std::error::Error>;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let spirv = arguments.iter().position(|word| word == "--spirv").and_then(|at| arguments.get(at + 1));
    let mut wrong = 0;
    for (name, text) in texts() {
        if let Err(error) = validate(&name, &text, spirv) {
            wrong += 1;
            println!("{name}: {error}\n{text}");
        }
    }
    println!("{} shaders validated, {wrong} wrong", texts().len());
    if wrong > 0 {
        std::process::exit(1);
    }
    // A driver may hang; this doesn't.
    std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_secs(55));
        println!("55 s are over: stopping");
        std::process::exit(3);
    });
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN | wgpu::Backends::METAL,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    for adapter in pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all())) {
        if let Err(error) = measure(&adapter) {
            println!("FAILED: {error}");
        }
    }
}

/// Every shader by name.
fn texts() -> Vec<(String, String)> {
    let smoke = Source::ALL.iter().flat_map(|&source| {
        [(false, false), (false, true), (true, false), (true, true)].map(|(load, store)| {
            (format!("smoke {source:?} {load} {store}"), smoke_text(source, source.strides()[0], load, store))
        })
    });
    let gemms = tiles().into_iter().map(|tile| (tile.name(), tile.text()));
    smoke.chain(gemms).chain([("lanes".into(), LANES.into())]).collect()
}

fn validate(name: &str, text: &str, folder: Option<&String>) -> Result<(), Failure> {
    let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
    let capabilities = naga::valid::Capabilities::all();
    let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| error.emit_to_string(text))?;
    let Some(folder) = folder else { return Ok(()) };
    let options = naga::back::spv::Options { lang_version: (1, 6), ..Default::default() };
    let words = naga::back::spv::write_vec(&module, &info, &options, None)?;
    std::fs::write(format!("{folder}/{}.spv", name.replace([' ', ','], "_")), bytemuck::cast_slice(&words))?;
    Ok(())
}

fn measure(adapter: &wgpu::Adapter) -> Result<(), Failure> {
    let info = adapter.get_info();
    println!("\n{} ({:?}, {:?}, {} {})", info.name, info.backend, info.device_type, info.driver, info.driver_info);
    println!("subgroups of {} to {}", info.subgroup_min_size, info.subgroup_max_size);
    let limits = adapter.limits();
    println!(
        "workgroup memory {}, invocations {}",
        limits.max_compute_workgroup_storage_size, limits.max_compute_invocations_per_workgroup
    );
    let wanted = wgpu::Features::SHADER_F16 | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    let has = adapter.features();
    for feature in [
        wgpu::Features::SHADER_F16,
        wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
        wgpu::Features::SUBGROUP,
        wgpu::Features::TIMESTAMP_QUERY,
    ] {
        println!("{feature:?}: {}", has.contains(feature));
    }
    for shape in adapter.cooperative_matrix_properties() {
        println!("  {}x{}x{} {:?} to {:?}", shape.m_size, shape.n_size, shape.k_size, shape.ab_type, shape.cr_type);
    }
    if !has.contains(wanted) {
        println!("no cooperative matrices here");
        return Ok(());
    }
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: wanted | (has & wgpu::Features::SUBGROUP),
        required_limits: limits,
        // SAFETY: what this example is for: to see what the feature does. Its shaders index nothing out of bounds.
        experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
        ..Default::default()
    }))?;
    device.on_uncaptured_error(std::sync::Arc::new(|error| println!("UNCAUGHT: {error}")));
    let gpu = Gpu { device, queue };
    if has.contains(wgpu::Features::SUBGROUP) {
        match gpu.lanes() {
            Ok(line) => println!("{line}"),
            Err(error) => println!("lanes: FAILED: {error}"),
        }
    }
    for source in Source::ALL {
        for stride in source.strides() {
            for (load, store) in [(true, true), (false, true), (true, false), (false, false)] {
                match gpu.smoke(source, stride, load, store) {
                    Ok(found) => println!(
                        "{source:?} stride {stride}: {} {} is {found}",
                        if load { "coopLoadT" } else { "coopLoad" },
                        if store { "coopStoreT" } else { "coopStore" }
                    ),
                    Err(error) => println!("{source:?} stride {stride} {load} {store}: FAILED: {error}"),
                }
            }
        }
    }
    let small = Problem::new([256, 256, 192]);
    let exact = small.product();
    let large = [Problem::new([2048, 2048, 2048]), Problem::new([4096, 4096, 4096])];
    for tile in tiles() {
        print!("{:<44}", tile.name());
        match gpu.tile(&tile, &small, &exact, &large) {
            Ok(line) => println!("{line}"),
            Err(error) => println!("FAILED: {}", error.to_string().replace('\n', " ")),
        }
    }
    Ok(())
}

/// Two operands.
struct Problem {
    size: [u32; 3],
    a: Vec<f16>,
    b: Vec<f16>,
}

impl Problem {
    fn new([m, n, k]: [u32; 3]) -> Self {
        let mut state = 12345u32;
        let mut values = |len: u32| -> Vec<f16> {
            let one = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f16::from_f32((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
            };
            (0..len).map(one).collect()
        };
        Problem { size: [m, n, k], a: values(m * k), b: values(k * n) }
    }

    /// The product in f64, and the sum of the sizes of its terms.
    fn product(&self) -> Vec<(f64, f64)> {
        let [m, n, k] = self.size.map(|s| s as usize);
        let (a, b): (Vec<f64>, Vec<f64>) =
            (self.a.iter().map(|v| v.to_f64()).collect(), self.b.iter().map(|v| v.to_f64()).collect());
        let mut out = vec![(0.0, 0.0); m * n];
        for i in 0..m {
            for l in 0..k {
                for j in 0..n {
                    let term = a[i * k + l] * b[l * n + j];
                    out[i * n + j].0 += term;
                    out[i * n + j].1 += term.abs();
                }
            }
        }
        out
    }
}

struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Gpu {
    /// Does something with the device, and gives its complaints as an error.
    fn caught<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let scopes = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal]
            .map(|filter| self.device.push_error_scope(filter));
        let result = work();
        let mut complaints =
            scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).collect::<Vec<_>>();
        match complaints.pop() {
            Some(error) => Err(error.to_string().into()),
            None => result,
        }
    }

    fn pipeline(&self, text: &str, checks: bool) -> Result<wgpu::ComputePipeline, Failure> {
        self.caught(|| {
            let runtime =
                if checks { wgpu::ShaderRuntimeChecks::checked() } else { wgpu::ShaderRuntimeChecks::unchecked() };
            let descriptor =
                wgpu::ShaderModuleDescriptor { label: None, source: wgpu::ShaderSource::Wgsl(text.into()) };
            // SAFETY: the texts above index inside the buffers that this example gives them, and their loops end.
            let module = unsafe { self.device.create_shader_module_trusted(descriptor, runtime) };
            Ok(self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            }))
        })
    }

    fn storage<T: Pod>(&self, values: &[T]) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(values),
            usage,
        })
    }

    fn bind(&self, pipeline: &wgpu::ComputePipeline, buffers: &[&wgpu::Buffer]) -> wgpu::BindGroup {
        let entries: Vec<_> = buffers
            .iter()
            .zip(0..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    /// Dispatches a number of times and waits: how many seconds it took.
    fn dispatch(
        &self,
        pipeline: &wgpu::ComputePipeline,
        group: &wgpu::BindGroup,
        groups: u32,
        times: u32,
    ) -> Result<f64, Failure> {
        let start = Instant::now();
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        for _ in 0..times {
            pass.dispatch_workgroups(groups, 1, 1);
        }
        drop(pass);
        self.queue.submit([encoder.finish()]);
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn read<T: Pod>(&self, buffer: &wgpu::Buffer) -> Result<Vec<T>, Failure> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        self.queue.submit([encoder.finish()]);
        staging.slice(..).map_async(wgpu::MapMode::Read, |_| ());
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        let view = staging.slice(..).get_mapped_range()?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }

    fn lanes(&self) -> Result<String, Failure> {
        let pipeline = self.pipeline(LANES, true)?;
        let y = self.storage(&[0u32; 256]);
        self.caught(|| {
            let group = self.bind(&pipeline, &[&y]);
            self.dispatch(&pipeline, &group, 1, 1)?;
            let found: Vec<u32> = self.read(&y)?;
            let size = found[0] >> 8 & 255;
            let same = found.iter().zip(0..).all(|(&v, t)| v >> 16 == t / size.max(1) && v & 255 == t % size.max(1));
            Ok(format!("a shader's subgroups have {size} lanes; lanes follow local_invocation_index: {same}"))
        })
    }

    /// What load and store take the rows of memory for.
    fn smoke(&self, source: Source, stride: u32, load: bool, store: bool) -> Result<String, Failure> {
        let pipeline = self.pipeline(&smoke_text(source, stride, load, store), true)?;
        let value = |i: usize, salt: usize| f16::from_f32(((i * 37 + salt * 11 + i * i * 3) % 41) as f32 - 20.0);
        let matrix = |salt: usize| -> Vec<f16> { (0..16 * 24 * 4).map(|i| value(i, salt)).collect() };
        let (a, b) = (matrix(1), matrix(2));
        let (buffer_a, buffer_b, y) = (self.storage(&a), self.storage(&b), self.storage(&[0f32; 256]));
        let found: Vec<f32> = self.caught(|| {
            let group = self.bind(&pipeline, &[&buffer_a, &buffer_b, &y]);
            self.dispatch(&pipeline, &group, 1, 1)?;
            self.read(&y)
        })?;
        for apart in [24, 6, 96] {
            for (rows_in, rows_out) in [(true, true), (true, false), (false, true), (false, false)] {
                let at =
                    |m: &[f16], i: usize, j: usize| m[if rows_in { i * apart + j } else { j * apart + i }].to_f32();
                let right = (0..256).all(|place| {
                    let (i, j) = if rows_out { (place / 16, place % 16) } else { (place % 16, place / 16) };
                    let sum: f32 = (0..16).map(|k| at(&a, i, k) * at(&b, k, j)).sum();
                    sum == found[place]
                });
                if right {
                    let word = |rows| if rows { "rows" } else { "columns" };
                    return Ok(format!("in {} {apart} f16 apart, out {}", word(rows_in), word(rows_out)));
                }
            }
        }
        Ok(format!("nothing known: {:?}", &found[..8]))
    }

    fn tile(&self, tile: &Tile, small: &Problem, exact: &[(f64, f64)], large: &[Problem]) -> Result<String, Failure> {
        let start = Instant::now();
        let pipeline = self.pipeline(&tile.text(), tile.how == How::Checked)?;
        let compiled = start.elapsed().as_secs_f64();
        let mut line = String::new();
        for problem in [small].into_iter().chain(large) {
            let [m, n, k] = problem.size;
            let groups = m / tile.block[0] * (n / tile.block[1]);
            let usage = wgpu::BufferUsages::UNIFORM;
            let params = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents: bytemuck::cast_slice(&[m, n, k, 0]),
                usage,
            });
            let (a, b) = (self.storage(&problem.a), self.storage(&problem.b));
            let outputs = [(); 2].map(|()| self.storage(&vec![f32::NAN; (m * n) as usize]));
            self.caught(|| {
                let bound = outputs.each_ref().map(|y| self.bind(&pipeline, &[&params, &a, &b, y]));
                for group in &bound {
                    self.dispatch(&pipeline, group, groups, 1)?;
                }
                if m < 4096 {
                    let [first, second] = [self.read::<u32>(&outputs[0])?, self.read::<u32>(&outputs[1])?];
                    let different = first.iter().zip(&second).filter(|(one, other)| one != other).count();
                    if different > 0 {
                        line += &format!("{different} of {} answers DIFFER at {m}; ", first.len());
                    }
                    if m == small.size[0] {
                        let off = first
                            .iter()
                            .zip(exact)
                            .map(|(&bits, &(sum, size))| (f64::from(f32::from_bits(bits)) - sum).abs() / size);
                        // NaN must show.
                        let worst = off.fold(0.0, |worst: f64, v| if worst.is_nan() || v <= worst { worst } else { v });
                        line += &format!("off by {:.2} units of 2^-24 ", worst * f64::from(1 << 24));
                        return Ok(());
                    }
                }
                let once = self.dispatch(&pipeline, &bound[0], groups, 2)? / 2.0;
                let times = (0.05 / once).clamp(2.0, 200.0) as u32;
                let best = (0..3)
                    .map(|_| self.dispatch(&pipeline, &bound[0], groups, times))
                    .collect::<Result<Vec<_>, _>>()?
                    .into_iter()
                    .fold(f64::MAX, f64::min);
                let flops = 2.0 * f64::from(m) * f64::from(n) * f64::from(k) * f64::from(times);
                line += &format!(" {m}: {:6.1} TFLOP/s ", flops / best / 1e12);
                Ok(())
            })?;
        }
        Ok(format!("{line} compiled in {compiled:.2} s"))
    }
}
