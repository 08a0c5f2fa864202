//! Decodes GIFs, placed on their screen as Pillow places them.

use image::RgbaImage;

use crate::photos::limits::Limits;

/// Decodes the first frame of a GIF. What it leaves of the screen has the transparent index if there is one, else index 0; the screen
/// grows to hold the frame. Pillow does so; other programs do it in other ways.
pub(super) fn first_frame(bytes: &[u8], limits: &Limits) -> Result<RgbaImage, String> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    options.set_memory_limit(gif::MemoryLimit::Bytes(
        std::num::NonZeroU64::new(limits.pixels).ok_or("no pixels are allowed")?,
    ));
    let mut decoder = options.read_info(bytes).map_err(|error| error.to_string())?;
    let frame = decoder.next_frame_info().map_err(|error| error.to_string())?.ok_or("no frame in the GIF")?;
    let [left, top, width, height] = [frame.left, frame.top, frame.width, frame.height].map(u32::from);
    let transparent = frame.transparent;
    let screen = [u32::from(decoder.width()).max(left + width), u32::from(decoder.height()).max(top + height)];
    limits.check_pixels(screen[0], screen[1])?;
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(|error| error.to_string())?;
    let palette = decoder.palette().unwrap_or_default();
    let colour = |index: u8| {
        let at = usize::from(index) * 3;
        let [red, green, blue] = palette.get(at..at + 3).map_or([index; 3], |rgb| [rgb[0], rgb[1], rgb[2]]);
        image::Rgba([red, green, blue, if transparent == Some(index) { 0 } else { 255 }])
    };
    let mut picture = RgbaImage::from_pixel(screen[0], screen[1], colour(transparent.unwrap_or(0)));
    for (y, row) in (top..).zip(indices.chunks_exact(width.max(1) as usize)) {
        for (x, &index) in (left..).zip(row) {
            picture.put_pixel(x, y, colour(index));
        }
    }
    Ok(picture)
}
