//! Reading documents that people write: strict, with file, line and column in the error.

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Largest document that is read, in bytes.
pub const LIMIT: usize = 1 << 20;

/// Parses one YAML document.
///
/// # Errors
/// [`crate::Class::InvalidInput`] with the place in `name`, when `text` is too large, is not YAML, has an
/// unknown key or a value of another type.
pub fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    if text.len() > LIMIT {
        return Err(Error::invalid(format!("{name} is larger than {LIMIT} bytes")));
    }
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| Error::invalid(format!("{name}: {}", error.to_string().trim_end())))
}
