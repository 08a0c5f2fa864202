//! A matrix product inside another wgpu program: on its device, from its buffers, in its encoder.

use kernels::{Context, Matmul, MatmulBuffers, MatmulDesc, wgpu};

/// C = A B, for square matrices that a program has in its buffers.
fn multiply(device: &wgpu::Device, queue: &wgpu::Queue, abc: [&wgpu::Buffer; 3], n: u32) -> Result<(), kernels::Error> {
    let context = Context::new(device)?;
    let matmul = Matmul::new(&context, &MatmulDesc::new(n, n, n))?;
    let [a, b, output] = abc.map(|buffer| buffer.slice(..));
    let product = matmul.bind(&MatmulBuffers { a, b, bias: None, output })?;
    // Planned and bound once, it can be recorded as often as needed.
    let mut encoder = device.create_command_encoder(&Default::default());
    product.encode(&mut encoder);
    queue.submit([encoder.finish()]);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    use wgpu::{BufferUsages, util::DeviceExt};
    // What a program has already: a device, a queue, buffers.
    let adapter = pollster::block_on(wgpu::Instance::default().request_adapter(&Default::default()))?;
    let required_features = kernels::wanted_features(&adapter);
    let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
    let [a, b, c] = [[1f32, 2., 3., 4.], [5., 6., 7., 8.], [0.; 4]].map(|matrix| {
        let contents = bytemuck::bytes_of(&matrix);
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
    });

    multiply(&device, &queue, [&a, &b, &c], 2)?;

    wgpu::util::DownloadBuffer::read_buffer(&device, &queue, &c.slice(..), |result| match result {
        Ok(bytes) => println!("{:?}", bytemuck::cast_slice::<u8, f32>(&bytes)),
        Err(error) => eprintln!("{error}"),
    });
    device.poll(wgpu::PollType::wait_indefinitely())?;
    Ok(())
}
