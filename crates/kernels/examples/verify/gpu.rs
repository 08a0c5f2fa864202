//! The adapter that is checked, and how planned work is run on it and compared.

use kernels::{
    Commands, Error, Host, encode_all, from_halves,
    reference::Expected,
    wgpu::{self, Adapter, Buffer, BufferUsages, Instance, util::DeviceExt},
};

/// The adapter that is checked.
pub struct Gpu {
    pub host: Host,
}

impl Gpu {
    /// The adapter of that number, or the one that wgpu prefers; prints them all.
    pub fn new(chosen: Option<usize>) -> Result<Self, String> {
        let instance = Instance::default();
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        for (number, adapter) in adapters.iter().enumerate() {
            println!("adapter {number}: {}", describe(adapter));
        }
        let adapter = match chosen {
            Some(number) => adapters
                .into_iter()
                .nth(number)
                .ok_or_else(|| format!("there is no adapter {number}: see the list above"))?,
            None => pollster::block_on(instance.request_adapter(&Default::default())).map_err(|error| {
                format!("{error}\ninstall a GPU driver, or a software one (mesa-vulkan-drivers on Debian and Ubuntu)")
            })?,
        };
        println!("checking  {}\n", describe(&adapter));
        let opened = Host::open(&adapter, wgpu::Features::empty(), wgpu::Limits::default());
        let host = pollster::block_on(opened).map_err(|error| said(&error))?;
        Ok(Gpu { host })
    }

    pub fn upload<T: bytemuck::Pod>(&self, data: &[T]) -> Buffer {
        self.host.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("verify"),
            contents: bytemuck::cast_slice(data),
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
        })
    }

    /// A buffer of NaN: what a kernel leaves out fails.
    pub fn output(&self, expected: &Expected) -> Buffer {
        self.upload(&vec![f32::NAN; expected.values.len()])
    }

    /// Submits what was planned; the dispatches it took and the worst error among its outputs.
    pub fn run(&self, planned: Result<Planned, Error>) -> Result<(usize, f64), String> {
        let Planned { commands, outputs, f16_channels } = planned.map_err(|error| said(&error))?;
        let mut encoder = self.host.device.create_command_encoder(&Default::default());
        encode_all(&mut encoder, &commands);
        self.host.queue.submit([encoder.finish()]);
        self.host.check().map_err(|error| said(&error))?;
        let mut worst = 0f64;
        for (buffer, expected) in outputs {
            let mut got: Vec<f32> = self.host.block_on(self.host.read(&buffer)).map_err(|error| said(&error))?;
            if let Some(channels) = f16_channels {
                got = from_halves(&got.iter().map(|word| word.to_bits()).collect::<Vec<_>>(), channels);
            }
            worst = worst.max(expected.compare(&got)?.ratio);
        }
        Ok((commands.iter().map(Commands::dispatches).sum(), worst))
    }
}

/// An error with what lies behind it.
fn said(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn describe(adapter: &Adapter) -> String {
    let info = adapter.get_info();
    format!("{} | {:?} | {} | {} {}", info.name, info.device_type, info.backend, info.driver, info.driver_info)
}

/// Commands, and what each of their outputs must hold.
pub struct Planned {
    pub commands: Vec<Commands>,
    pub outputs: Vec<(Buffer, Expected)>,
    /// Channels of outputs that are f16 tensors.
    pub f16_channels: Option<usize>,
}
