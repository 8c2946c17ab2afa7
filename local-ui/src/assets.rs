//! The only style sheet and the only script, served under names that change with their content.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use edge_model::ids::to_hex;

pub(crate) struct Asset {
    stem: &'static str,
    extension: &'static str,
    kind: &'static str,
    content: &'static str,
    path: LazyLock<String>,
}

macro_rules! asset {
    ($name:ident, $stem:literal, $extension:literal, $kind:literal) => {
        pub(crate) static $name: Asset = Asset {
            stem: $stem,
            extension: $extension,
            kind: $kind,
            content: include_str!(concat!("../assets/", $stem, ".", $extension)),
            path: LazyLock::new(|| $name.named()),
        };
    };
}

asset!(STYLE, "style", "css", "text/css; charset=utf-8");
asset!(SCRIPT, "live", "js", "text/javascript; charset=utf-8");

impl Asset {
    fn named(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.content.as_bytes());
        format!("/assets/{}-{}.{}", self.stem, &to_hex(digest.as_ref())[..12], self.extension)
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn answer(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.kind),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ];
        (headers, self.content).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_small() {
        assert!(STYLE.content.len() <= 12_000, "{} bytes", STYLE.content.len());
        assert!(SCRIPT.content.len() <= 8_000, "{} bytes", SCRIPT.content.len());
        for asset in [&STYLE, &SCRIPT] {
            assert!(!asset.content.contains("http://") && !asset.content.contains("https://"));
        }
    }
}
