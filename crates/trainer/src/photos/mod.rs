//! A photo's bytes to 8-bit RGB, or the reason why not.
//!
//! The only place where pixels are read: training, judging, predicting and embedding all come through [`decode`]. What it does
//! with each kind of photo, beside what Pillow does, is a table in `docs/preprocessing.md`.

use std::fmt;
use std::io::Cursor;
use std::str::FromStr;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, ImageReader, Limits as DecoderLimits,
    RgbImage, RgbaImage,
};
use serde::{Deserialize, Serialize};

/// The name of threads that decode. A decoder that panics there costs one photo and is reported with it, so that a program
/// may want to keep the panic's own message to itself.
pub const THREAD: &str = "decode";

/// What decodes JPEGs. Its pixels, and so the features, differ a little from another's.
pub const JPEG_DECODER: &str = if cfg!(feature = "turbojpeg") { "libjpeg-turbo" } else { "zune-jpeg" };

/// Bounds that hold before and while a photo is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest file, in bytes.
    pub bytes: u64,
    /// The most pixels: a decoder takes up to 8 bytes for each, on every core.
    pub pixels: u64,
    /// The longest that one photo may take.
    pub time: Duration,
}

impl Default for Limits {
    /// 256 MiB, 128 Mi pixels and 60 seconds: beyond any camera, short of a decompression bomb.
    fn default() -> Self {
        Self { bytes: 1 << 28, pixels: 1 << 27, time: Duration::from_secs(60) }
    }
}

impl Limits {
    fn check_pixels(&self, width: u32, height: u32) -> Result<(), String> {
        match u64::from(width) * u64::from(height) > self.pixels {
            true => Err(format!("{width} x {height} pixels are more than the limit of {}", self.pixels)),
            false => Ok(()),
        }
    }
}

/// What a decoder may take besides the pixels, for metadata that unfold and for strips and tiles, in bytes.
const OVERHEAD: u64 = 64 << 20;

/// What becomes of the note in a photo (EXIF) that says how the camera was held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exif {
    /// The photo is turned, as Pillow's `ImageOps.exif_transpose` does and every viewer.
    #[default]
    Apply,
    /// The photo stays as it is stored, as in torchvision's `ImageFolder`. A TIFF is turned all the same: Pillow does so whenever
    /// it loads one.
    Ignore,
}

impl FromStr for Exif {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "apply" => Ok(Self::Apply),
            "ignore" => Ok(Self::Ignore),
            _ => Err(format!("{text:?}: expected apply or ignore")),
        }
    }
}

/// What lies behind a photo's transparent parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Background {
    /// The colours stored there, as in Pillow's `convert("RGB")`: the alpha channel is dropped.
    #[default]
    Drop,
    /// A colour, red first, blended as by Pillow's `paste` with the alpha channel as the mask.
    Over([u8; 3]),
}

impl FromStr for Background {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && !digits.starts_with('+'));
        match (text, digits.and_then(|digits| u32::from_str_radix(digits, 16).ok())) {
            ("drop", _) => Ok(Self::Drop),
            ("white", _) => Ok(Self::Over([255; 3])),
            ("black", _) => Ok(Self::Over([0; 3])),
            (_, Some(value)) => Ok(Self::Over([(value >> 16) as u8, (value >> 8) as u8, value as u8])),
            _ => Err(format!("{text:?}: expected drop, white, black or #rrggbb")),
        }
    }
}

impl fmt::Display for Background {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Over([red, green, blue]) => write!(f, "#{red:02x}{green:02x}{blue:02x}"),
        }
    }
}

impl TryFrom<String> for Background {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Background> for String {
    fn from(background: Background) -> Self {
        background.to_string()
    }
}

/// How photos are read where there is a choice. A run keeps it, so that photos to predict are read as those it learnt from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// The camera's note of what is up.
    pub exif: Exif,
    /// What lies behind transparent parts.
    pub background: Background,
}

/// A decoded photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// `[height, width, 3]`, red first.
    pub rgb: Vec<u8>,
}

/// A function that decodes, such as [`decode_unguarded`]. The last argument is memory that it may use for the pixels.
pub(crate) type Decoder = fn(&[u8], &Reading, &Limits, Vec<u8>) -> Result<Image, String>;

/// Decodes a photo; its content says what it is, not its name.
///
/// As Pillow's `convert("RGB")`: grey is repeated, palettes looked up, CMYK converted without colour profiles, the first frame of an
/// animation or page of a document taken; of 16 bits a channel the upper 8 stay, but 16-bit grey is cut off at 255.
/// The pixels of a JPEG may differ from libjpeg's by a few levels unless the feature `turbojpeg` is on.
///
/// It happens on a thread of its own. One that isn't done in time is left behind, and goes on to take memory and a core until it
/// ends by itself.
///
/// # Errors
/// The reason, in words: an unknown or damaged format, a file cut short, more pixels or more time than `limits` allow. A decoder
/// that panics costs this photo only.
pub fn decode(bytes: Vec<u8>, reading: &Reading, limits: &Limits) -> Result<Image, String> {
    decode_by(decode_into, bytes, reading, limits, Vec::new())
}

/// [`decode`] by another decoder, into memory that is used again.
pub(crate) fn decode_by(
    decoder: Decoder,
    bytes: Vec<u8>,
    reading: &Reading,
    limits: &Limits,
    memory: Vec<u8>,
) -> Result<Image, String> {
    let (reading, limits) = (*reading, *limits);
    let (sender, receiver) = sync_channel(1);
    let work = move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(decoder(&bytes, &reading, &limits, memory));
    };
    let thread = std::thread::Builder::new().name(THREAD.into());
    thread.spawn(work).map_err(|error| format!("no thread to decode it on: {error}"))?;
    match receiver.recv_timeout(limits.time) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => {
            Err(format!("not decoded within the limit of {} seconds", limits.time.as_secs_f64()))
        }
        // It panicked, and dropped the sender with all else.
        Err(RecvTimeoutError::Disconnected) => Err("the decoder failed on it: a damaged file".into()),
    }
}

/// [`decode`] on the calling thread, as long as it takes, panics and all: what a fuzzer wants to see.
///
/// # Errors
/// As [`decode`], but for the time.
pub fn decode_unguarded(bytes: &[u8], reading: &Reading, limits: &Limits) -> Result<Image, String> {
    decode_into(bytes, reading, limits, Vec::new())
}

/// [`decode_unguarded`] into `memory`, as far as a decoder allows that: what most photos are, 8-bit RGB.
pub(crate) fn decode_into(
    bytes: &[u8],
    reading: &Reading,
    limits: &Limits,
    mut memory: Vec<u8>,
) -> Result<Image, String> {
    if bytes.is_empty() {
        return Err("an empty file".into());
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(words)?;
    let format = reader.format().ok_or("not a photo, or in a format that can't be read here")?;
    if format == ImageFormat::Gif {
        return into_rgb(DynamicImage::ImageRgba8(gif(bytes, limits)?), reading);
    }
    if format == ImageFormat::Jpeg && !jpeg_is_whole(bytes) {
        return Err("cut short: the JPEG has no end marker".into());
    }
    let mut bounds = DecoderLimits::default();
    bounds.max_alloc = Some(OVERHEAD);
    reader.limits(bounds.clone());
    let mut decoder = reader.into_decoder().map_err(words)?;
    let (width, height) = decoder.dimensions();
    limits.check_pixels(width, height)?;
    bounds.max_alloc = Some(decoder.total_bytes().saturating_mul(2).saturating_add(OVERHEAD));
    decoder.set_limits(bounds).map_err(words)?;
    let orientation = match reading.exif {
        Exif::Ignore if format != ImageFormat::Tiff => Orientation::NoTransforms,
        // Damaged metadata is no reason to refuse the photo.
        _ => decoder.orientation().unwrap_or(Orientation::NoTransforms),
    };
    let deep_grey = decoder.original_color_type() == ExtendedColorType::L16;
    let mut image = match format {
        #[cfg(feature = "turbojpeg")]
        ImageFormat::Jpeg => libjpeg(bytes)?,
        _ if decoder.color_type() == ColorType::Rgb8 => {
            let size = usize::try_from(decoder.total_bytes()).map_err(words)?;
            if memory.len() < size {
                // Memory asked for so fails with an error, not with the program.
                memory = Vec::new();
                memory.try_reserve_exact(size).map_err(words)?;
                // And so isn't touched before there are pixels: a header may promise more than there are.
                memory = vec![0; size];
            }
            memory.truncate(size);
            decoder.read_image(&mut memory).map_err(words)?;
            RgbImage::from_raw(width, height, memory).ok_or("not as many pixels as it says")?.into()
        }
        _ => DynamicImage::from_decoder(decoder).map_err(words)?,
    };
    if deep_grey {
        // With a level that is marked as transparent it comes with alpha, which Pillow doesn't see.
        image = image.into_luma16().into();
    }
    image.apply_orientation(orientation);
    into_rgb(image, reading)
}

fn words(error: impl fmt::Display) -> String {
    error.to_string()
}

/// Any picture as 8-bit RGB.
fn into_rgb(image: DynamicImage, reading: &Reading) -> Result<Image, String> {
    use DynamicImage::{
        ImageLuma8, ImageLuma16, ImageLumaA8, ImageLumaA16, ImageRgb8, ImageRgb16, ImageRgba8, ImageRgba16,
    };
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width == 0 || height == 0 {
        return Err("no pixels".into());
    }
    let upper = |values: Vec<u16>| values.into_iter().map(|value| (value >> 8) as u8).collect::<Vec<u8>>();
    let repeat = |grey: Vec<u8>| grey.into_iter().flat_map(|value| [value; 3]).collect();
    let blend = |pixels: Vec<u8>, channels: usize| flatten(&pixels, channels, reading.background);
    let rgb = match image {
        ImageLuma8(grey) => repeat(grey.into_raw()),
        ImageLuma16(grey) => repeat(grey.into_raw().into_iter().map(|value| value.min(255) as u8).collect()),
        ImageLumaA8(pixels) => blend(pixels.into_raw(), 1),
        ImageLumaA16(pixels) => blend(upper(pixels.into_raw()), 1),
        ImageRgb8(pixels) => pixels.into_raw(),
        ImageRgb16(pixels) => upper(pixels.into_raw()),
        ImageRgba8(pixels) => blend(pixels.into_raw(), 3),
        ImageRgba16(pixels) => blend(upper(pixels.into_raw()), 3),
        other => return Err(format!("pixels of type {:?} can't be read here", other.color())),
    };
    Ok(Image { width, height, rgb })
}

/// Pixels of one or three channels and alpha, to RGB.
fn flatten(pixels: &[u8], channels: usize, background: Background) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(pixels.len() / (channels + 1) * 3);
    for pixel in pixels.chunks_exact(channels + 1) {
        let colour: [u8; 3] = std::array::from_fn(|c| pixel[c.min(channels - 1)]);
        let alpha = u32::from(pixel[channels]);
        rgb.extend(match background {
            Background::Drop => colour,
            Background::Over(behind) => std::array::from_fn(|c| {
                // Divided by 255 and rounded, without dividing: Pillow's arithmetic.
                let sum = u32::from(colour[c]) * alpha + u32::from(behind[c]) * (255 - alpha) + 128;
                (((sum >> 8) + sum) >> 8) as u8
            }),
        });
    }
    rgb
}

/// The first frame of a GIF. What it leaves of the screen has the transparent index if there is one, else index 0; the screen grows
/// to hold the frame: so does Pillow, and every program otherwise.
fn gif(bytes: &[u8], limits: &Limits) -> Result<RgbaImage, String> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    options.set_memory_limit(gif::MemoryLimit::Bytes(
        std::num::NonZeroU64::new(limits.pixels).ok_or("no pixels are allowed")?,
    ));
    let mut decoder = options.read_info(bytes).map_err(words)?;
    let frame = decoder.next_frame_info().map_err(words)?.ok_or("no frame in the GIF")?;
    let [left, top, width, height] = [frame.left, frame.top, frame.width, frame.height].map(u32::from);
    let transparent = frame.transparent;
    let screen = [u32::from(decoder.width()).max(left + width), u32::from(decoder.height()).max(top + height)];
    limits.check_pixels(screen[0], screen[1])?;
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(words)?;
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

/// A JPEG by libjpeg-turbo, as Pillow has it decode: exact inverse DCT, smooth enlarging of the colour planes, the full size.
#[cfg(feature = "turbojpeg")]
fn libjpeg(bytes: &[u8]) -> Result<DynamicImage, String> {
    use mozjpeg::{ColorSpace, Decompress};
    // What it refuses it says by unwinding.
    let decoded = std::panic::catch_unwind(|| {
        let decoder = Decompress::new_mem(bytes)?;
        let (width, height) = (decoder.width() as u32, decoder.height() as u32);
        let (space, channels) = match decoder.components().len() {
            1 => (ColorSpace::JCS_GRAYSCALE, 1),
            4 => (ColorSpace::JCS_CMYK, 4),
            _ => (ColorSpace::JCS_RGB, 3),
        };
        let mut started = decoder.to_colorspace(space)?;
        let pixels: Vec<u8> = started.read_scanlines()?;
        started.finish()?;
        std::io::Result::Ok((width, height, channels, pixels))
    });
    let (width, height, channels, pixels) = match decoded {
        Ok(decoded) => decoded.map_err(words)?,
        Err(payload) => return Err(payload.downcast_ref::<String>().cloned().unwrap_or("a damaged JPEG".into())),
    };
    let image = match channels {
        1 => image::GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        3 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, inks(&pixels)).map(DynamicImage::from),
    };
    image.ok_or_else(|| "the JPEG holds fewer pixels than it says".into())
}

/// CMYK as Adobe stores it, inverted, to RGB as Pillow converts it.
#[cfg(feature = "turbojpeg")]
fn inks(pixels: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(pixels.len() / 4 * 3);
    for &[cyan, magenta, yellow, key] in pixels.as_chunks::<4>().0 {
        rgb.extend([cyan, magenta, yellow].map(|ink| {
            let product = u32::from(255 - ink) * u32::from(key) + 128;
            (i64::from(key) - i64::from(((product >> 8) + product) >> 8)).max(0) as u8
        }));
    }
    rgb
}

/// True if an end-of-image marker follows the first scan. JPEG decoders fill what is missing with grey instead of
/// failing; a photo half grey would be learnt from.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    // Over the segments before the first scan, whose payload may hold a thumbnail with markers of its own.
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        match marker {
            0xff => at += 1,
            0xda => return bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9]),
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};

    fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn jpeg() -> Vec<u8> {
        encode(ImageBuffer::from_fn(40, 24, |x, y| Rgb([x as u8 * 6, y as u8 * 10, 99])), ImageFormat::Jpeg)
    }

    /// Guarded, with the defaults.
    fn read(bytes: &[u8]) -> Result<Image, String> {
        decode(bytes.to_vec(), &Reading::default(), &Limits::default())
    }

    fn reason(bytes: &[u8]) -> String {
        read(bytes).unwrap_err()
    }

    #[test]
    fn colours_become_rgb() {
        let grey = encode(ImageBuffer::from_pixel(2, 1, Luma([7u8])), ImageFormat::Png);
        assert_eq!(read(&grey).unwrap(), Image { width: 2, height: 1, rgb: vec![7; 6] });
        let alpha = encode(ImageBuffer::from_pixel(1, 1, Rgba([1u8, 2, 3, 0])), ImageFormat::Png);
        assert_eq!(read(&alpha).unwrap().rgb, [1, 2, 3]);
        let grey_alpha = encode(ImageBuffer::from_pixel(1, 1, LumaA([9u8, 1])), ImageFormat::Png);
        assert_eq!(read(&grey_alpha).unwrap().rgb, [9, 9, 9]);
        let deep = encode(ImageBuffer::from_pixel(1, 1, Rgb([0x00ffu16, 0x8080, 0xffff])), ImageFormat::Png);
        assert_eq!(read(&deep).unwrap().rgb, [0, 0x80, 0xff]);
    }

    #[test]
    fn every_format_that_is_listed_can_be_read() {
        let picture = ImageBuffer::from_fn(5, 4, |x, y| Rgb([x as u8 * 50, y as u8 * 60, 0]));
        use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
        for format in [Bmp, Gif, Jpeg, Png, Tiff, WebP] {
            let image = read(&encode(picture.clone(), format)).unwrap();
            assert_eq!((image.width, image.height), (5, 4), "{format:?}");
            if !matches!(format, Jpeg | Gif) {
                assert_eq!(&image.rgb, picture.as_raw(), "{format:?}");
            }
        }
    }

    #[test]
    fn the_camera_says_what_is_up() {
        // An EXIF segment that holds one tag: orientation 6, to be turned by 90 degrees clockwise.
        let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01".to_vec();
        exif.extend(b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00");
        let mut bytes = jpeg();
        bytes.splice(2..2, exif);
        let image = read(&bytes).unwrap();
        assert_eq!((image.width, image.height), (24, 40));
        // The top right corner was the top left one: no red, no green.
        assert!(image.rgb[23 * 3] < 20 && image.rgb[23 * 3 + 1] < 20, "{:?}", &image.rgb[23 * 3..24 * 3]);
    }

    #[test]
    fn memory_is_used_again_and_leaves_nothing_behind() {
        let picture = ImageBuffer::from_fn(5, 4, |x, y| Rgb([x as u8 * 50, y as u8 * 60, 7]));
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif] {
            let bytes = encode(picture.clone(), format);
            let fresh = decode_unguarded(&bytes, &Reading::default(), &Limits::default()).unwrap();
            for memory in [vec![9; 1000], vec![9; 3]] {
                let again = decode_into(&bytes, &Reading::default(), &Limits::default(), memory).unwrap();
                assert_eq!(again, fresh, "{format:?}");
            }
        }
        let memory = vec![9; 1000];
        let place = memory.as_ptr();
        let bytes = encode(picture, ImageFormat::Png);
        let image = decode_into(&bytes, &Reading::default(), &Limits::default(), memory).unwrap();
        assert_eq!(image.rgb.as_ptr(), place);
    }

    #[test]
    fn what_is_damaged_is_refused_with_a_reason() {
        assert_eq!(reason(b""), "an empty file");
        assert!(reason(b"hello, this is text").contains("not a photo"));
        let whole = jpeg();
        for keep in [20, whole.len() / 2, whole.len() - 2] {
            assert!(reason(&whole[..keep]).contains("cut short"), "{keep}");
        }
        let png = encode(ImageBuffer::from_pixel(64, 64, Rgb([1u8, 2, 3])), ImageFormat::Png);
        assert!(!reason(&png[..png.len() / 2]).is_empty());
        assert!(read(&whole).is_ok());
    }

    #[test]
    fn large_pictures_are_refused_before_they_are_decoded() {
        let limits = Limits { pixels: 100, ..Limits::default() };
        let error = decode(jpeg(), &Reading::default(), &limits).unwrap_err();
        assert_eq!(error, "40 x 24 pixels are more than the limit of 100");
    }

    #[test]
    fn a_decoder_that_panics_or_hangs_is_left_behind() {
        let by = |decoder: Decoder, milliseconds| {
            let limits = Limits { time: Duration::from_millis(milliseconds), ..Limits::default() };
            decode_by(decoder, vec![1], &Reading::default(), &limits, Vec::new()).unwrap_err()
        };
        // A panic that doesn't print.
        let panics: Decoder = |_, _, _, _| std::panic::resume_unwind(Box::new("as planned"));
        assert_eq!(by(panics, 60_000), "the decoder failed on it: a damaged file");
        let hang: Decoder = |_, _, _, _| loop {
            std::thread::sleep(Duration::from_secs(1));
        };
        assert_eq!(by(hang, 50), "not decoded within the limit of 0.05 seconds");
    }

    #[test]
    fn readings_are_written_as_they_are_read() {
        let reading = Reading { exif: Exif::Ignore, background: Background::Over([0x30, 0, 0xc0]) };
        let json = serde_json::to_string(&reading).unwrap();
        assert_eq!(json, r##"{"exif":"ignore","background":"#3000c0"}"##);
        assert_eq!(serde_json::from_str::<Reading>(&json).unwrap(), reading);
        assert_eq!("white".parse(), Ok(Background::Over([255; 3])));
        assert_eq!("drop".parse(), Ok(Background::Drop));
        for wrong in ["", "#12345", "#1234567", "#+12345", "123456", "#ééé", "pink"] {
            assert!(wrong.parse::<Background>().unwrap_err().contains("expected drop"), "{wrong}");
        }
        assert!("yes".parse::<Exif>().is_err());
        assert!(serde_json::from_str::<Reading>(r#"{"exif":"apply","background":"drop","gamma":1}"#).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = jpeg();
        for at in (2..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x5a;
            let _ = decode_unguarded(&bytes, &Reading::default(), &Limits::default());
        }
    }
}
