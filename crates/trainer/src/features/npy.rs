//! NumPy's .npy: the header, which is a Python dictionary, and the numbers behind it.
//!
//! # Reference
//! NumPy, `numpy.lib.format`, versions 1.0, 2.0 and 3.0.

use crate::features::number::{Number, Shape};

/// How a .npy begins.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// Bytes in which a header ends, in every file that a program wrote.
pub(super) const HEAD: u64 = 1 << 20;

/// Reads the shape of an array in a file of `size` bytes, and finds its first number. Of the file its first bytes are given, [`HEAD`] or all that there are.
///
/// # Errors
/// What is wrong with it and what to do, in words.
pub(super) fn read(bytes: &[u8], size: u64) -> Result<(Shape, u64), String> {
    let short = || "the file is cut short in its header: copy it, or write it, again".to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or("no .npy file")?;
    let (length, rest) = match *rest.first_chunk().ok_or_else(short)? {
        [1, _] => {
            let (length, rest) = rest[2..].split_first_chunk().ok_or_else(short)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        [2 | 3, _] => {
            let (length, rest) = rest[2..].split_first_chunk().ok_or_else(short)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        [major, minor] => return Err(format!("version {major}.{minor} of .npy: 1 to 3 can be read")),
    };
    let (header, rest) = rest.split_at_checked(length).ok_or_else(short)?;
    let start = (bytes.len() - rest.len()) as u64;
    let there = size.saturating_sub(start);
    let damaged = |problem: &str| format!("its header is damaged, {problem}: write it again");
    let header = std::str::from_utf8(header).map_err(|_| damaged("no text"))?;
    let Header { descr, fortran_order, shape } = Parser(header).header().map_err(damaged)?;
    let number = match descr.as_str() {
        "<f2" => Number::F16,
        "<f4" => Number::F32,
        "<f8" => Number::F64,
        ">f2" | ">f4" | ">f8" => {
            return Err(format!("its numbers are big-endian ({descr}): write `x.astype(\"<f4\")`"));
        }
        _ => {
            return Err(format!("its values are {descr:?}, expected <f2, <f4 or <f8: write `x.astype(\"<f4\")`"));
        }
    };
    let shape = Shape::of(&shape, number)?;
    if fortran_order {
        return Err("it is in Fortran's order: write `np.ascontiguousarray(x)`".to_owned());
    }
    match shape.bytes().map(|bytes| bytes as u64) {
        Some(expected) if expected == there => Ok((shape, start)),
        Some(expected) if expected < there => {
            Err(format!("{} bytes stand behind its numbers: it holds one array alone", there - expected))
        }
        _ => Err(format!(
            "{} rows of {} numbers are said, and there are {there} bytes: the file is cut short; copy it, or write it, again",
            shape.rows, shape.width
        )),
    }
}

/// What a header says.
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// Reads a dictionary as Python writes it, from its beginning.
struct Parser<'a>(&'a str);

impl Parser<'_> {
    fn header(mut self) -> Result<Header, &'static str> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect("{")?;
        while !self.take("}") {
            let key = self.text()?;
            self.expect(":")?;
            match key.as_str() {
                "descr" => {
                    // A list of names and types.
                    descr = Some(if self.0.trim_start().starts_with('[') {
                        self.list()?;
                        "a table of several types".to_owned()
                    } else {
                        self.text()?
                    });
                }
                "fortran_order" if self.take("True") => fortran_order = Some(true),
                "fortran_order" if self.take("False") => fortran_order = Some(false),
                "shape" => shape = Some(self.tuple()?),
                _ => return Err("with a key that means nothing"),
            }
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        let (Some(descr), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else {
            return Err("without type, order or shape");
        };
        match self.0.trim().is_empty() {
            true => Ok(Header { descr, fortran_order, shape }),
            false => Err("with something behind it"),
        }
    }

    fn take(&mut self, what: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(what);
        rest.map(|rest| self.0 = rest).is_some()
    }

    fn expect(&mut self, what: &str) -> Result<(), &'static str> {
        if self.take(what) { Ok(()) } else { Err("no dictionary as NumPy writes it") }
    }

    fn text(&mut self) -> Result<String, &'static str> {
        let quote = if self.take("'") {
            '\''
        } else {
            self.expect("\"")?;
            '"'
        };
        let (text, rest) = self.0.split_once(quote).ok_or("with a text that doesn't end")?;
        let text = text.to_owned();
        self.0 = rest;
        Ok(text)
    }

    /// Passes over a list.
    fn list(&mut self) -> Result<(), &'static str> {
        let mut depth = 0usize;
        let end = self.0.char_indices().find_map(|(place, c)| {
            match c {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            (c == ']' && depth == 0).then_some(place + 1)
        });
        self.0 = &self.0[end.ok_or("with a list that doesn't end")?..];
        Ok(())
    }

    fn tuple(&mut self) -> Result<Vec<usize>, &'static str> {
        self.expect("(")?;
        let mut numbers = Vec::new();
        while !self.take(")") {
            let text = self.0.trim_start();
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let number = text[..end].parse().map_err(|_| "with a shape that isn't one, or that no machine holds")?;
            self.0 = &text[end..];
            numbers.push(number);
            // As Python 2 wrote it.
            self.take("L");
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(numbers)
    }
}
