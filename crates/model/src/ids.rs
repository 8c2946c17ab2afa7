//! Identities as types: no bare strings cross a module.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// SHA-256 root of an image's hash tree: the identity of the image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootHash(pub [u8; 32]);

impl RootHash {
    /// The first 16 hexadecimal digits, as used in file names on the ESP.
    pub fn short(&self) -> String {
        self.to_string()[..16].to_owned()
    }

    /// Name of this image's main UKI on the ESP.
    pub fn uki_name(&self) -> String {
        format!("edge-{}.efi", self.short())
    }

    /// The boot loader's entry of this image's main UKI.
    pub fn entry(&self) -> Entry {
        Entry(self.uki_name())
    }
}

/// An entry of the boot loader: the name of a UKI on the ESP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry(String);

impl Entry {
    /// What a variable or a configuration of the loader names; `None` when it names nothing.
    pub fn named(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The recovery system on its own ESP.
    pub fn recovery() -> Self {
        Self("edge-recovery.efi".to_owned())
    }

    /// The copy of the recovery system's UKI beside the main ones: for firmware that does not start another partition's loader.
    /// The loader sorts names of one version downwards: this one comes last, when it has to choose by itself.
    pub fn recovery_beside() -> Self {
        Self("copy-of-recovery.efi".to_owned())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a blob, written `sha256:<hex>` as in OCI.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// Writes lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads hexadecimal of either case; `None` for an odd length or another character.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn hash_from_hex(text: &str) -> Option<[u8; 32]> {
    from_hex(text).and_then(|bytes| bytes.try_into().ok())
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

impl FromStr for RootHash {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        hash_from_hex(text)
            .map(RootHash)
            .ok_or_else(|| Error::invalid(format!("{text:?} is not a root hash (64 hexadecimal digits)")))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", to_hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        text.strip_prefix("sha256:").and_then(hash_from_hex).map(Digest).ok_or_else(|| {
            Error::invalid(format!("{text:?} is not a digest (sha256: and 64 hexadecimal digits)"))
        })
    }
}

macro_rules! serde_as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}
serde_as_text!(RootHash);
serde_as_text!(Digest);

/// One of the two places that hold an operating-system image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    A,
    B,
}

impl Slot {
    pub fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Slot::A => "a",
            Slot::B => "b",
        })
    }
}

/// Ties a host to the medium it was installed from: the digest of what the medium carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(pub Digest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_round_trip_and_reject_other_text() {
        let hash = RootHash([0xab; 32]);
        assert_eq!(hash.to_string().parse::<RootHash>(), Ok(hash));
        assert_eq!(hash.uki_name(), "edge-abababababababab.efi");
        for wrong in ["", "ab", "zz", &"g".repeat(64), &"é".repeat(32)] {
            assert!(wrong.parse::<RootHash>().is_err(), "{wrong}");
        }
        assert!(Digest([1; 32]).to_string().parse::<Digest>().is_ok());
        assert!("md5:00".parse::<Digest>().is_err());
    }
}
