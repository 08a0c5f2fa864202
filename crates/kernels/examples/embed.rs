//! A matrix product inside another wgpu program: on its device, from its buffers, in its encoder.

use kernels::{Context, Matmul, MatmulBuffers, MatmulDesc, wgpu};
use wgpu::{BufferUsages, util::DeviceExt};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Whatever the program has already: a device, a queue, buffers.
    let adapter = pollster::block_on(wgpu::Instance::default().request_adapter(&Default::default()))?;
    let required_features = kernels::wanted_features(&adapter);
    let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
    let [a, b, output] = [[1f32, 2., 3., 4.], [5., 6., 7., 8.], [0.; 4]].map(|matrix| {
        let contents = bytemuck::bytes_of(&matrix);
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
    });

    // Plan once, bind once; record as often as needed.
    let matmul = Matmul::new(&Context::new(&device), &MatmulDesc::new(2, 2, 2))?;
    let buffers = MatmulBuffers { a: a.slice(..), b: b.slice(..), bias: None, output: output.slice(..) };
    let product = matmul.bind(&buffers)?;
    let mut encoder = device.create_command_encoder(&Default::default());
    product.encode(&mut encoder);
    queue.submit([encoder.finish()]);

    wgpu::util::DownloadBuffer::read_buffer(&device, &queue, &output.slice(..), |result| match result {
        Ok(bytes) => println!("{:?}", bytemuck::cast_slice::<u8, f32>(&bytes)),
        Err(error) => eprintln!("{error}"),
    });
    device.poll(wgpu::PollType::wait_indefinitely())?;
    Ok(())
}
