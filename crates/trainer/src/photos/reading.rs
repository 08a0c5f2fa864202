//! How photos are read where there is a choice: orientation and transparency.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
