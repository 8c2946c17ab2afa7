//! Encodings, sums, paths and addresses.

use data_encoding::{BASE32, BASE64};
use gotmpl::Value;
use serde_json::Value as Json;

use super::{Function, Outcome, failed, of_entries, string, text, truth};

pub(super) const ALL: &[(&str, Function)] = &[
    ("b64enc", |args| string(BASE64.encode(text(args, 0).as_bytes()))),
    ("b64dec", |args| string(decoded(&BASE64, &text(args, 0))?)),
    ("b32enc", |args| string(BASE32.encode(text(args, 0).as_bytes()))),
    ("b32dec", |args| string(decoded(&BASE32, &text(args, 0))?)),
    ("sha1sum", |args| string(hex(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &text(args, 0)))),
    ("sha256sum", |args| string(hex(&ring::digest::SHA256, &text(args, 0)))),
    ("sha512sum", |args| string(hex(&ring::digest::SHA512, &text(args, 0)))),
    ("adler32sum", |args| {
        let sums = text(args, 0).bytes().fold((1_u32, 0_u32), |(one, two), byte| {
            let one = (one + u32::from(byte)) % 65_521;
            (one, (two + one) % 65_521)
        });
        string(format!("{}", (sums.1 << 16) | sums.0))
    }),
    ("toJson", |args| string(json_of(args.first()).to_string())),
    ("mustToJson", |args| string(json_of(args.first()).to_string())),
    ("toRawJson", |args| string(json_of(args.first()).to_string())),
    ("mustToRawJson", |args| string(json_of(args.first()).to_string())),
    ("toPrettyJson", |args| string(format!("{:#}", json_of(args.first())))),
    ("mustToPrettyJson", |args| string(format!("{:#}", json_of(args.first())))),
    ("fromJson", |args| {
        Ok(serde_json::from_str(&text(args, 0)).map_or(Value::Nil, |json| super::super::value(&json)))
    }),
    ("mustFromJson", |args| {
        let json = serde_json::from_str(&text(args, 0))
            .map_err(|error| failed(format!("this is not JSON: {error}")))?;
        Ok(super::super::value(&json))
    }),
    ("base", |args| string(base(&text(args, 0)))),
    ("osBase", |args| string(base(&text(args, 0)))),
    ("dir", |args| string(dir(&text(args, 0)))),
    ("osDir", |args| string(dir(&text(args, 0)))),
    ("clean", |args| string(clean(&text(args, 0)))),
    ("osClean", |args| string(clean(&text(args, 0)))),
    ("ext", |args| string(ext(&text(args, 0)))),
    ("osExt", |args| string(ext(&text(args, 0)))),
    ("isAbs", |args| truth(text(args, 0).starts_with('/'))),
    ("osIsAbs", |args| truth(text(args, 0).starts_with('/'))),
    ("urlParse", url_parse),
    ("urlJoin", url_join),
];

fn decoded(encoding: &data_encoding::Encoding, text: &str) -> gotmpl::Result<String> {
    let bytes = encoding
        .decode(text.trim().as_bytes())
        .map_err(|error| failed(format!("this cannot be decoded: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(algorithm: &'static ring::digest::Algorithm, text: &str) -> String {
    edge_model::ids::to_hex(ring::digest::digest(algorithm, text.as_bytes()).as_ref())
}

fn json_of(value: Option<&Value>) -> Json {
    match value {
        None | Some(Value::Nil) => Json::Null,
        Some(Value::Bool(holds)) => Json::Bool(*holds),
        Some(Value::Int(number)) => Json::from(*number),
        Some(Value::Uint(number)) => Json::from(*number),
        Some(Value::Float(number)) => Json::from(*number),
        Some(Value::List(items)) => Json::Array(items.iter().map(|item| json_of(Some(item))).collect()),
        Some(Value::Map(entries)) => {
            Json::Object(entries.iter().map(|(key, inner)| (key.to_string(), json_of(Some(inner)))).collect())
        }
        Some(other) => Json::String(other.to_string()),
    }
}

/// Go's `path.Clean`.
fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    match (is_absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".into(),
        (false, false) => parts.join("/"),
    }
}

fn base(path: &str) -> String {
    let whole = path.trim_end_matches('/');
    match whole.rsplit('/').next() {
        _ if path.is_empty() => ".".into(),
        Some("") | None => "/".into(),
        Some(last) => last.to_owned(),
    }
}

fn dir(path: &str) -> String {
    clean(path.rsplit_once('/').map_or("", |(folder, _)| if folder.is_empty() { "/" } else { folder }))
}

fn ext(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.rfind('.').map_or(String::new(), |at| last[at..].to_owned())
}

fn url_parse(args: &[Value]) -> Outcome {
    let all = text(args, 0);
    let (rest, fragment) = all.split_once('#').unwrap_or((&all, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once("://").unwrap_or(("", rest));
    let (authority, path) = match rest.find('/') {
        _ if scheme.is_empty() => ("", rest),
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => bare,
        _ => host,
    };
    let parts = [
        ("scheme", scheme),
        ("host", host),
        ("hostname", bare.trim_matches(['[', ']'])),
        ("path", path),
        ("query", query),
        ("fragment", fragment),
        ("userinfo", userinfo),
        ("opaque", ""),
    ];
    of_entries(parts.into_iter().map(|(name, part)| (name.into(), Value::String(part.into()))).collect())
}

fn url_join(args: &[Value]) -> Outcome {
    let Some(Value::Map(parts)) = args.first() else { return Err(failed("urlJoin takes a dict")) };
    let part = |name: &str| parts.get(name).map(super::shown).unwrap_or_default();
    let mut url = String::new();
    if !part("scheme").is_empty() {
        url.push_str(&format!("{}://", part("scheme")));
    }
    if !part("userinfo").is_empty() {
        url.push_str(&format!("{}@", part("userinfo")));
    }
    url.push_str(&part("host"));
    url.push_str(&part("path"));
    for (mark, name) in [("?", "query"), ("#", "fragment")] {
        if !part(name).is_empty() {
            url.push_str(&format!("{mark}{}", part(name)));
        }
    }
    string(url)
}
