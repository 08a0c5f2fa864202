//! Decodes GIFs, placed on their screen as Pillow places them.

use crate::photos::limits::Limits;
use crate::photos::memory::{Room, allocate};
use crate::photos::picture::{Picture, flat};
use crate::photos::reading::Background;

/// Decodes the first frame of a GIF. What it leaves of the screen has the transparent index if there is one, else index 0; the screen
/// grows to hold the frame. Pillow does so; other programs do it in other ways.
pub(super) fn first_frame(
    bytes: &[u8],
    background: Background,
    limits: &Limits,
    memory: Vec<u8>,
    room: Room,
) -> Result<Picture, String> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    options.set_memory_limit(gif::MemoryLimit::Bytes(
        std::num::NonZeroU64::new(limits.pixels).ok_or("no pixels are allowed")?,
    ));
    let mut decoder = options.read_info(bytes).map_err(|error| error.to_string())?;
    let frame = decoder.next_frame_info().map_err(|error| error.to_string())?.ok_or("no frame in the GIF")?;
    let [left, top, width, height] = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    let transparent = frame.transparent;
    let screen = [usize::from(decoder.width()).max(left + width), usize::from(decoder.height()).max(top + height)];
    let pixels = limits.check_pixels(screen[0] as u32, screen[1] as u32)?;
    let indexed = decoder.buffer_size() as u64;
    room(3 * pixels + indexed)?;
    let mut indices = allocate(Vec::new(), indexed)?;
    let mut rgb = allocate(memory, 3 * pixels)?;
    decoder.read_into_buffer(&mut indices).map_err(|error| error.to_string())?;
    let palette = decoder.palette().unwrap_or_default();
    let colour = |index: u8| {
        let at = usize::from(index) * 3;
        let rgb = palette.get(at..at + 3).map_or([index; 3], |rgb| [rgb[0], rgb[1], rgb[2]]);
        flat(rgb, if transparent == Some(index) { 0 } else { 255 }, background)
    };
    let around = colour(transparent.unwrap_or(0));
    rgb.as_chunks_mut().0.fill(around);
    for (y, row) in (top..).zip(indices.chunks_exact(width.max(1))) {
        let to = &mut rgb[3 * (y * screen[0] + left)..];
        for (to, &index) in to.as_chunks_mut().0.iter_mut().zip(row) {
            *to = colour(index);
        }
    }
    Picture::new(screen, rgb)
}
