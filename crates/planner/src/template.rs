//! Templates of stage files: Go's `text/template` with the functions that such files really use.

use std::collections::BTreeMap;
use std::sync::Arc;

use edge_model::{Error, Result};
use gotmpl::{Template, Value};
use serde_json::Value as Json;

type Outcome = gotmpl::Result<Value>;

fn text(args: &[Value], at: usize) -> String {
    args.get(at)
        .map(|value| if matches!(value, Value::Nil) { String::new() } else { value.to_string() })
        .unwrap_or_default()
}

fn string(text: impl Into<String>) -> Outcome {
    Ok(Value::String(text.into().into()))
}

fn list(items: impl Iterator<Item = String>) -> Outcome {
    Ok(Value::List(items.map(|item| Value::String(item.into())).collect::<Vec<_>>().into()))
}

fn with_functions(template: Template) -> Template {
    let template = template
        .func("lower", |args| string(text(args, 0).to_lowercase()))
        .func("upper", |args| string(text(args, 0).to_uppercase()))
        .func("trim", |args| string(text(args, 0).trim()))
        .func("quote", |args| string(format!("{:?}", text(args, 0))))
        .func("squote", |args| string(format!("'{}'", text(args, 0))))
        .func("toString", |args| string(text(args, 0)))
        .func("default", |args| {
            let given = args.get(1).filter(|value| value.is_truthy());
            Ok(given.or(args.first()).cloned().unwrap_or(Value::Nil))
        })
        .func("coalesce", |args| {
            Ok(args.iter().find(|value| value.is_truthy()).cloned().unwrap_or(Value::Nil))
        })
        .func("ternary", |args| {
            let which = if args.get(2).is_some_and(Value::is_truthy) { 0 } else { 1 };
            Ok(args.get(which).cloned().unwrap_or(Value::Nil))
        })
        .func("empty", |args| Ok(Value::Bool(!args.first().is_some_and(Value::is_truthy))))
        .func("contains", |args| Ok(Value::Bool(text(args, 1).contains(&text(args, 0)))))
        .func("hasPrefix", |args| Ok(Value::Bool(text(args, 1).starts_with(&text(args, 0)))))
        .func("hasSuffix", |args| Ok(Value::Bool(text(args, 1).ends_with(&text(args, 0)))));
    template
        .func("trimPrefix", |args| {
            let (what, of) = (text(args, 0), text(args, 1));
            string(of.strip_prefix(&what).unwrap_or(&of))
        })
        .func("trimSuffix", |args| {
            let (what, of) = (text(args, 0), text(args, 1));
            string(of.strip_suffix(&what).unwrap_or(&of))
        })
        .func("replace", |args| string(text(args, 2).replace(&text(args, 0), &text(args, 1))))
        .func("trunc", |args| {
            let (count, of) = (args.first().and_then(Value::as_int).unwrap_or(0), text(args, 1));
            let length = of.chars().count();
            let kept = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(length);
            let skipped = if count < 0 { length - kept } else { 0 };
            string(of.chars().skip(skipped).take(kept).collect::<String>())
        })
        .func("splitList", |args| list(text(args, 1).split(&text(args, 0)).map(str::to_owned)))
        .func("join", |args| {
            let Some(Value::List(items)) = args.get(1) else { return string(text(args, 1)) };
            string(items.iter().map(ToString::to_string).collect::<Vec<_>>().join(&text(args, 0)))
        })
        .func("b64enc", |args| string(data_encoding::BASE64.encode(text(args, 0).as_bytes())))
        .func("b64dec", |args| {
            let bytes = data_encoding::BASE64.decode(text(args, 0).trim().as_bytes()).unwrap_or_default();
            string(String::from_utf8_lossy(&bytes).into_owned())
        })
        .func("sha256sum", |args| {
            string(
                edge_slot_image::sha256(text(args, 0).as_bytes()).to_string().trim_start_matches("sha256:"),
            )
        })
        .func("indent", |args| {
            let pad =
                " ".repeat(args.first().and_then(Value::as_int).map_or(0, |n| n.clamp(0, 200) as usize));
            string(text(args, 1).lines().map(|line| format!("{pad}{line}")).collect::<Vec<_>>().join("\n"))
        })
}

/// The most actions of a template that open a block: a reader that goes down one level for each has so many levels.
const BLOCKS: usize = 300;
/// The most parentheses in all its actions, for the same reason.
const PARENTHESES: usize = 400;
/// The most that one template comes to, in bytes.
const RESULT: usize = 4 << 20;

/// Refuses what would take a reader deeper than its stack goes. Words are counted wherever they could be an action.
fn is_not_too_deep(source: &str) -> Result<()> {
    let opens = |action: &&str| {
        let word = action.trim_start_matches('-').trim_start();
        ["if", "else", "range", "with", "define", "block"].iter().any(|opening| word.starts_with(opening))
    };
    if source.split("{{").skip(1).filter(opens).count() > BLOCKS {
        return Err(Error::invalid(format!("a template with more than {BLOCKS} blocks")));
    }
    // Texts in quotes may hold anything: what could be inside an action counts, up to the last end before the next one.
    let inside = |action: &'_ str| action.rsplit_once("}}").map_or(action.len(), |(inside, _)| inside.len());
    let opened = |action: &str| action[..inside(action)].bytes().filter(|letter| *letter == b'(').count();
    if source.split("{{").skip(1).map(opened).sum::<usize>() > PARENTHESES {
        return Err(Error::invalid(format!("a template with more than {PARENTHESES} parentheses")));
    }
    Ok(())
}

/// Text that grows up to a limit.
#[derive(Default)]
struct Limited(String);

impl std::fmt::Write for Limited {
    fn write_str(&mut self, more: &str) -> std::fmt::Result {
        if self.0.len() + more.len() > RESULT {
            return Err(std::fmt::Error);
        }
        self.0.push_str(more);
        Ok(())
    }
}

fn template(source: &str) -> Result<Template> {
    is_not_too_deep(source)?;
    with_functions(Template::new("step"))
        .max_range_iters(10_000)
        .parse(source)
        .map_err(|error| Error::invalid(error.to_string()))
}

/// Whether a text is a template that can be read.
///
/// # Errors
/// What is wrong with it.
pub fn parse(source: &str) -> Result<()> {
    if source.contains("{{") { template(source).map(drop) } else { Ok(()) }
}

/// Renders a text with system information under `.Values`, or anything else at the root.
///
/// # Errors
/// When it is not a template or its execution fails.
pub fn render(source: &str, data: &Json) -> Result<String> {
    if !source.contains("{{") {
        return Ok(source.to_owned());
    }
    let mut text = Limited::default();
    template(source)?
        .execute_fmt(&mut text, &value(data))
        .map_err(|error| Error::invalid(error.to_string()))?;
    Ok(text.0.replace("<no value>", ""))
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or(0.0)), Value::Int)
        }
        Json::String(text) => Value::String(text.as_str().into()),
        Json::Array(items) => Value::List(items.iter().map(value).collect::<Vec<_>>().into()),
        Json::Object(entries) => {
            let entries: BTreeMap<Arc<str>, Value> =
                entries.iter().map(|(key, inner)| (key.as_str().into(), value(inner))).collect();
            Value::Map(Arc::new(entries))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_kairos_files_use_works() {
        let data = json!({"Values": {"node": {"hostname": "Shop-17", "machineid": "0123456789abcdef"}, "Random": "r"}});
        for (source, expected) in [
            ("{{ .Values.node.hostname }}", "Shop-17"),
            ("metal-{{ trunc 4 .Values.node.machineid }}", "metal-0123"),
            ("{{ .Values.node.hostname | lower | replace \"-\" \"_\" }}", "shop_17"),
            ("{{ default \"none\" .Values.nothing.there }}", "none"),
            ("{{ if eq .Values.Random \"r\" }}yes{{ else }}no{{ end }}", "yes"),
            ("{{ if contains \"hop\" .Values.node.hostname }}in{{ end }}", "in"),
            ("no template", "no template"),
            ("{{ b64enc \"a\" }} {{ \"YQ==\" | b64dec }}", "YQ== a"),
        ] {
            assert_eq!(render(source, &data).unwrap(), expected, "{source}");
        }
        assert!(parse("{{ if }").is_err() && render("{{ nofunction 1 }}", &data).is_err());
    }

    #[test]
    fn a_template_that_would_take_the_reader_too_deep_is_refused() {
        let chain = format!("{{{{if 1}}}}{}{{{{end}}}}", "{{else if 1}}".repeat(8000));
        let nest = format!("{}x{}", "{{with 1}}".repeat(8000), "{{end}}".repeat(8000));
        let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(9000), ")".repeat(9000));
        let in_quotes = format!("{{{{ {} }}}}", r#"("{{}})" "#.repeat(5000));
        for hostile in [chain, nest, parentheses, in_quotes] {
            assert!(parse(&hostile).is_err());
        }
        let large = format!("{{{{ range .l }}}}{}{{{{ end }}}}", "x".repeat(100_000));
        let error = render(&large, &json!({"l": vec![1; 1000]})).unwrap_err();
        assert!(!error.message.is_empty(), "one that grows beyond every need");
        let honest = "{{ if 1 }}a{{ else if 2 }}b{{ end }}".repeat(100);
        assert_eq!(render(&honest, &json!({})).unwrap(), "a".repeat(100));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_template_panics(source in "[{} .a-zA-Z|\"$()0-9]{0,60}") {
            let _ = render(&source, &json!({"Values": {}}));
        }
    }
}
