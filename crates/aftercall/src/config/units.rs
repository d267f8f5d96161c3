//! Times and sizes as people write them: "5s", "14d", "10MiB".

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::schema;

/// A time, written with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub(crate) struct Time(pub(crate) Duration);

/// A size in bytes, written with its unit or as a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "schema::Size")]
pub(crate) struct Size(pub(crate) usize);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time with its unit, like \"250ms\", \"5s\", \"48h\" or \"14d\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
                let time =
                    humantime::parse_duration(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))?;
                Ok(Time(time))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size, like \"64KiB\", \"10MiB\" or a number of bytes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                let refuse = || E::invalid_value(Unexpected::Str(text), &self);
                let size: ByteSize = text.parse().map_err(|_| refuse())?;
                usize::try_from(size.as_u64()).map(Size).map_err(|_| refuse())
            }

            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
                usize::try_from(bytes).map(Size).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
            }
        }
        deserializer.deserialize_any(Text)
    }
}
