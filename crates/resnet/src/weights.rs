//! Weight files: safetensors, read once, checked as a whole when opened, decoded layer by layer.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensorError};

use crate::architecture::Architecture;
use crate::detect::{canonical, recognise};
use crate::error::Error;
use crate::fold::{BATCH_NORM_EPS, BatchNorm, FoldedConv, Linear};
use crate::identify::{self, Diagnosis};
use crate::names::Naming;
use crate::network::{ConvSpec, GateSpec};
use crate::problems::plain;
use crate::regular;

/// An opened and checked weight file.
///
/// The tensors may be f32, f16 or bf16, each its own; names may be torchvision's (timm's are the same), transformers', or
/// the places in a Sequential of torchvision's modules, under any prefix that all of them share. A head that isn't called `fc` is
/// left aside: the file is a backbone without one. Once open, the file is known to hold one whole network of finite weights.
///
/// ```no_run
/// let file = resnet::WeightFile::open("resnet18.safetensors")?;
/// println!("{}", file.architecture());
/// for conv in file.convs() {
///     let conv = conv?;
///     println!("{} {:?}", conv.spec.name, conv.spec.weight_shape());
/// }
/// # Ok::<(), resnet::Error>(())
/// ```
pub struct WeightFile {
    bytes: Cow<'static, [u8]>,
    header: Header,
}

/// What the header of a weight file says.
struct Header {
    /// How the file spells its tensors' names.
    naming: Naming,
    /// The tensors by their canonical names.
    tensors: BTreeMap<String, Stored>,
    metadata: HashMap<String, String>,
    architecture: Architecture,
}

/// Where a tensor lies in the file, and how.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
}

impl WeightFile {
    /// Reads `path` into memory and checks all of it.
    ///
    /// It is read once: whatever becomes of the file afterwards, the weights stay as they were checked. A file whose header shows no network
    /// that can be run is refused before the rest is read.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be read or is no regular file, [`Error::Format`] or [`Error::Damaged`] if it isn't whole safetensors,
    /// [`Error::Unsupported`] if it holds another network or number format, [`Error::Tensors`] with everything missing, unexpected or
    /// misshapen, and [`Error::Values`] for NaN, infinities and variances that aren't positive.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let io = |source| Error::Io { path: path.to_owned(), source };
        let (mut file, length) = opened(path).map_err(io)?;
        let name = plain(&path.to_string_lossy());
        let mut bytes = Vec::new();
        append(&mut file, identify::MAX_START.min(length), &mut bytes).map_err(io)?;
        let header = Header::read(&bytes, length, &name)?;
        append(&mut file, length - bytes.len() as u64, &mut bytes).map_err(io)?;
        Self::checked(bytes.into(), header, name)
    }

    /// Checks weights in memory, such as an asset embedded in the program by `include_bytes!`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, Error> {
        let (bytes, name) = (bytes.into(), "weights in memory");
        let header = Header::read(&bytes, bytes.len() as u64, name)?;
        Self::checked(bytes, header, name.to_owned())
    }

    fn checked(bytes: Cow<'static, [u8]>, header: Header, file: String) -> Result<Self, Error> {
        let opened = Self { bytes, header };
        opened.check_values(file)?;
        Ok(opened)
    }

    fn check_values(&self, file: String) -> Result<(), Error> {
        let mut problems = Vec::new();
        for (name, tensor) in &self.header.tensors {
            let variance = name.ends_with(".running_var");
            let good = |value: f32| value.is_finite() && (!variance || f64::from(value) + BATCH_NORM_EPS > 0.0);
            // In pieces, so that no tensor is in memory twice.
            for (piece, bytes) in
                self.bytes[tensor.range.clone()].chunks(PIECE * tensor.dtype.bitsize() / 8).enumerate()
            {
                let values = decode(tensor.dtype, bytes);
                // Without early exit the check runs on whole vectors.
                if !values.iter().fold(true, |all, value| all & good(*value)) {
                    let index = values.iter().position(|value| !good(*value)).unwrap_or(0);
                    let place = piece * PIECE + index;
                    let name = self.header.naming.original(name);
                    problems.push(format!("`{name}` holds {} at index {place}", values[index]));
                    break;
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::Values { file, problems }) }
    }

    /// Gives the whole file as it was read: to take its digest, for instance.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the network that the file holds.
    pub fn architecture(&self) -> &Architecture {
        &self.header.architecture
    }

    /// Gives the file's free-form `__metadata__`, empty where it has none.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.header.metadata
    }

    /// Lists every tensor of the network as it is stored, under torchvision's name, sorted by name.
    ///
    /// `num_batches_tracked` isn't among them.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, TensorView<'_>)> {
        self.header.tensors.iter().filter_map(|(name, tensor)| {
            let data = &self.bytes[tensor.range.clone()];
            Some((name.as_str(), TensorView::new(tensor.dtype, tensor.shape.clone(), data).ok()?))
        })
    }

    /// Lists the tensors of the backbone, as [`tensors`](Self::tensors) does: all but the head.
    ///
    /// They are what features depend on. Files of the same backbone list the same, whatever their head, metadata, spelling of names or
    /// order of tensors.
    pub fn backbone_tensors(&self) -> impl Iterator<Item = (&str, TensorView<'_>)> {
        self.tensors().filter(|(name, _)| !name.starts_with("fc."))
    }

    /// Reads every convolution of the network with its BatchNorm folded in, in the order of [`Network::convs`](crate::Network::convs).
    ///
    /// Each is read and folded when the iterator comes to it, so that the network is never twice in memory.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn convs(&self) -> impl Iterator<Item = Result<FoldedConv, Error>> {
        let specs: Vec<ConvSpec> = self.architecture().network().convs().cloned().collect();
        specs.into_iter().map(|spec| self.conv(&spec))
    }

    /// Reads one convolution of this file's network, with its BatchNorm folded in.
    ///
    /// # Errors
    /// [`Error::NoTensor`] or [`Error::Shape`] if `spec` belongs to another network; [`Error::Values`] if the folded weights
    /// are beyond f32.
    pub fn conv(&self, spec: &ConvSpec) -> Result<FoldedConv, Error> {
        let read = |module: &str, part: &str, shape: &[usize]| self.read(&format!("{module}.{part}"), shape);
        let channels = [spec.out_channels];
        let norm = BatchNorm {
            weight: read(&spec.norm, "weight", &channels)?,
            bias: read(&spec.norm, "bias", &channels)?,
            running_mean: read(&spec.norm, "running_mean", &channels)?,
            running_var: read(&spec.norm, "running_var", &channels)?,
        };
        FoldedConv::fold(spec, read(&spec.name, "weight", &spec.weight_shape())?, &norm)
    }

    /// Reads one layer of this file's gates: its weight and its bias (zero where it has none).
    ///
    /// # Errors
    /// [`Error::NoTensor`] or [`Error::Shape`] if `spec` belongs to another network.
    pub fn gate(&self, spec: &GateSpec) -> Result<(Vec<f32>, Vec<f32>), Error> {
        let weight = self.read(&format!("{}.weight", spec.name()), &spec.weight_shape())?;
        let bias = match spec {
            GateSpec::Dense { name, out_channels, .. } => self.read(&format!("{name}.bias"), &[*out_channels])?,
            GateSpec::Sliding { .. } => vec![0.0],
        };
        Ok((weight, bias))
    }

    /// Reads the file's own head, `fc`.
    ///
    /// # Errors
    /// [`Error::NoHead`] if the file is a backbone without one.
    pub fn head(&self) -> Result<Linear, Error> {
        let features = self.architecture().features();
        let Some(classes) = self.architecture().classes else {
            return Err(Error::NoHead { architecture: self.architecture().to_string() });
        };
        Ok(Linear {
            weight: self.read("fc.weight", &[classes, features])?,
            bias: self.read("fc.bias", &[classes])?,
            classes,
            features,
        })
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let none = || Error::NoTensor { name: name.to_owned(), architecture: self.architecture().to_string() };
        let tensor = self.header.tensors.get(name).ok_or_else(none)?;
        if tensor.shape == shape {
            Ok(self.values(tensor))
        } else {
            Err(Error::Shape { name: name.to_owned(), expected: shape.to_vec(), got: tensor.shape.clone() })
        }
    }

    /// Decodes a tensor's values, exact in f32. Its dtype was checked when the file was opened.
    fn values(&self, tensor: &Stored) -> Vec<f32> {
        decode(tensor.dtype, &self.bytes[tensor.range.clone()])
    }
}

impl Header {
    /// Reads the header of a file of so many bytes. `start` is the file's beginning, as far as [`identify::MAX_START`] at least.
    fn read(start: &[u8], length: u64, file: &str) -> Result<Self, Error> {
        let format = |Diagnosis { what, advice }| Error::Format { file: file.to_owned(), what, advice };
        let unsupported = |Diagnosis { what, advice }| Error::Unsupported { file: file.to_owned(), what, advice };
        let damaged = |source| Error::Damaged { file: file.to_owned(), source };
        if let Some(diagnosis) = identify::foreign_format(start) {
            return Err(format(diagnosis));
        }
        if let Some(diagnosis) = identify::excessive_header(start) {
            return Err(unsupported(diagnosis));
        }
        let (text, data) = identify::header(start, length).map_err(format)?;
        let parsed: Metadata = serde_json::from_slice(text)
            .map_err(|source| damaged(SafeTensorError::InvalidHeaderDeserialization(source)))?;
        if let Some(diagnosis) = identify::wrong_length(data as u64 + parsed.data_len() as u64, length) {
            return Err(format(diagnosis));
        }

        let (naming, mut tensors) = canonical(parsed.tensors().into_iter().map(|(name, info)| {
            let range = data + info.data_offsets.0..data + info.data_offsets.1;
            (plain(&name), Stored { dtype: info.dtype, shape: info.shape.clone(), range })
        }));
        let shapes = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
        let architecture = recognise(file, &naming, &shapes)?;
        // A head of another make has no place in it.
        let used: BTreeSet<String> = architecture.tensors().into_iter().map(|(name, _)| name).collect();
        tensors.retain(|name, _| used.contains(name));
        let metadata = parsed.metadata().clone().unwrap_or_default();
        let header = Self { naming, tensors, metadata, architecture };
        header.check_dtypes().map_err(unsupported)?;
        Ok(header)
    }

    fn check_dtypes(&self) -> Result<(), Diagnosis> {
        let mut by_dtype: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            if !matches!(tensor.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                by_dtype.entry(format!("{:?}", tensor.dtype)).or_default().push(self.naming.original(name));
            }
        }
        if by_dtype.is_empty() {
            return Ok(());
        }
        let advice = if by_dtype.keys().eq(["F64"]) {
            "convert them: save `{name: tensor.float() for name, tensor in state_dict.items()}`"
        } else {
            "the file is quantised or packed: get the same network in float32, float16 or bfloat16"
        };
        let kinds: Vec<_> = by_dtype
            .iter()
            .map(|(dtype, names)| match names.as_slice() {
                [name] => format!("{name} is stored as {dtype}"),
                names => format!("{} and {} more are stored as {dtype}", names[0], names.len() - 1),
            })
            .collect();
        Err(Diagnosis::new(format!("{} (F32, F16 or BF16 expected)", kinds.join(", ")), advice))
    }
}

/// Opens a regular file, and tells its length.
fn opened(path: &Path) -> io::Result<(File, u64)> {
    let file = regular::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory => {
            io::Error::new(error.kind(), "it is a directory; give the `.safetensors` file in it")
        }
        _ => error,
    })?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Reads so many more bytes of a file.
fn append(file: &mut File, count: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    let memory = || io::Error::new(io::ErrorKind::OutOfMemory, format!("{count} bytes don't fit into memory"));
    bytes.try_reserve_exact(usize::try_from(count).map_err(|_| memory())?).map_err(|_| memory())?;
    if file.take(count).read_to_end(bytes)? as u64 == count {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"))
    }
}

/// How many values are checked at a time.
const PIECE: usize = 1 << 16;

fn decode(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let ((two, _), (four, _)) = (bytes.as_chunks::<2>(), bytes.as_chunks::<4>());
    match dtype {
        Dtype::F16 => two.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        Dtype::BF16 => two.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
        _ => four.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    }
}

impl fmt::Debug for WeightFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeightFile")
            .field("architecture", self.architecture())
            .field("tensors", &self.header.tensors.len())
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
