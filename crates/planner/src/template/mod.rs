//! Templates of stage files: Go's `text/template` with the functions of sprig.

pub mod sprig;

use std::collections::BTreeMap;
use std::sync::Arc;

use edge_model::{Error, Result};
use gotmpl::{Template, Value};
use serde_json::Value as Json;

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
    sprig::with_functions(Template::new("step"))
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
    if text.0.contains(NO_VALUE) && !source.contains(NO_VALUE) {
        let named = missing_field(source, data).unwrap_or_default();
        return Err(Error::invalid(format!("it names something that a host does not have{named}"))
            .help("`default` gives it another value: {{ default \"none\" .Values.a.b }}"));
    }
    Ok(text.0)
}

/// What Go writes where a field is not there: a hole in a command or a file, if nobody is told.
const NO_VALUE: &str = "<no value>";

/// The first field of a template that the data does not have, for a person.
fn missing_field(source: &str, data: &Json) -> Option<String> {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '.';
    let actions = source.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    actions
        .flat_map(|action| action.split(|letter: char| !is_name(letter)))
        .filter(|word| word.starts_with('.') && word.len() > 1)
        .find(|field| {
            field.split('.').skip(1).try_fold(data, |inner, name| inner.get(name)).is_none_or(Json::is_null)
        })
        .map(|field| format!(": {field}"))
}

pub(crate) fn value(json: &Json) -> Value {
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
        for (source, why) in [
            ("echo {{ .Names }}", ": .Names"),
            ("a {{ .Values.node.hostnam }} b", ": .Values.node.hostnam"),
            ("{{ index .Values \"x\" }}", "does not have"),
        ] {
            assert!(render(source, &data).unwrap_err().to_string().contains(why), "{source}");
        }
        assert!(parse("{{ if }").is_err() && render("{{ nofunction 1 }}", &data).is_err());
    }

    /// Behaviour by behaviour as sprig's documentation gives it.
    #[test]
    fn sprig_does_what_its_documentation_says() {
        let data = json!({"d": {"a": 1, "b": {"c": 2}}, "l": ["b", "a", "b"]});
        for (source, expected) in [
            (
                r#"{{ title "hello world" }} {{ untitle "Hello World" }} {{ swapcase "hELLO" }}"#,
                "Hello World hello world Hello",
            ),
            (r#"{{ trimAll "$" "$5.00" }}{{ nospace " a b " }}{{ initials "First Try" }}"#, "5.00abFT"),
            (r#"{{ abbrev 5 "hello world" }}|{{ abbrevboth 5 10 "1234 5678 9123" }}"#, "he...|...5678..."),
            (
                r#"{{ substr 0 5 "hello world" }}{{ repeat 3 "x" }}{{ trunc -5 "hello world" }}"#,
                "helloxxxworld",
            ),
            (r#"{{ wrap 5 "a b c d e" }}|{{ nindent 2 "x" }}"#, "a b c\nd e|\n  x"),
            (
                r#"{{ cat "a" "b" }} {{ quote "a" }} {{ squote "a" }} {{ plural "one" "many" 2 }}"#,
                "a b \"a\" 'a' many",
            ),
            (
                r#"{{ snakecase "FirstName" }} {{ kebabcase "FirstName" }} {{ camelcase "http_server" }}"#,
                "first_name first-name HttpServer",
            ),
            (r#"{{ (split "$" "a$b")._1 }}{{ join "-" (splitList "," "a,b") }}"#, "ba-b"),
            (
                r#"{{ regexMatch "^a.c$" "abc" }} {{ regexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W" }} {{ regexFind "[0-9]+" "a12b3" }}"#,
                "true -W-xxW- 12",
            ),
            (
                r#"{{ add 1 2 3 }} {{ sub 5 2 }} {{ mul 2 3 }} {{ div 7 2 }} {{ mod 7 2 }} {{ max 1 5 2 }} {{ add1 4 }}"#,
                "6 3 6 3 1 5 5",
            ),
            (
                r#"{{ round 123.5555 3 }} {{ floor 1.9 }} {{ ceil 1.1 }} {{ atoi "7" }} {{ toDecimal "0777" }}"#,
                "123.556 1 2 7 511",
            ),
            (
                r#"{{ until 3 }} {{ untilStep 3 6 2 }} {{ seq 5 }} {{ seq 0 2 10 }}"#,
                "[0 1 2] [3 5] 1 2 3 4 5 0 2 4 6 8 10",
            ),
            (
                r#"{{ first .l }} {{ last .l }} {{ rest .l }} {{ initial .l }} {{ uniq .l }} {{ sortAlpha .l }}"#,
                "b b [a b] [b a] [b a] [a b b]",
            ),
            (
                r#"{{ has "a" .l }} {{ without .l "b" }} {{ concat .l (list 1) }} {{ reverse .l }} {{ slice .l 1 2 }}"#,
                "true [a] [b a b 1] [b a b] [a]",
            ),
            (
                r#"{{ get .d "a" }} {{ hasKey .d "x" }} {{ keys .d }} {{ dig "b" "c" 0 .d }} {{ dig "x" "y" 9 .d }}"#,
                "1 false [a b] 2 9",
            ),
            (r#"{{ toJson .d }} {{ (fromJson "{\"k\":5}").k }}"#, r#"{"a":1,"b":{"c":2}} 5"#),
            (r#"{{ $d := merge (dict "a" 9) .d }}{{ $d.a }}{{ $d.b.c }}"#, "92"),
            (r#"{{ kindOf .l }} {{ typeIs "string" "x" }} {{ deepEqual .l .l }}"#, "slice true true"),
            (
                r#"{{ b32enc "a" }} {{ sha1sum "a" }} {{ adler32sum "a" }}"#,
                "ME====== 86f7e437faa5a7fce15d1ddcb9eaeaea377667b8 6422626",
            ),
            (
                r#"{{ base "foo/bar" }} {{ dir "foo/bar/baz" }} {{ clean "foo//bar/../baz" }} {{ ext "foo.tgz" }} {{ isAbs "/a" }}"#,
                "bar foo/bar foo/baz .tgz true",
            ),
            (r#"{{ (urlParse "http://u@server.com:8080/api?list=false#a").host }}"#, "server.com:8080"),
            (
                r#"{{ (semver "v1.2.3").Minor }} {{ semverCompare ">=1.2.0" "1.10.0" }} {{ semverCompare "~1.2.0" "1.3.0" }} {{ semverCompare "^1.2" "1.9.1" }}"#,
                "2 true false true",
            ),
            (
                r#"{{ all 0 1 }} {{ any 0 1 }} {{ empty "" }} {{ ternary "y" "n" true }} {{ coalesce 0 2 }}"#,
                "false true true y 2",
            ),
        ] {
            assert_eq!(
                render(source, &data).unwrap_or_else(|error| panic!("{source}: {error}")),
                expected,
                "{source}"
            );
        }
        for (source, why) in [
            (r#"{{ fail "stop" }}"#, "stop"),
            ("{{ div 1 0 }}", "zero"),
            ("{{ until 99999999 }}", "too long"),
            (r#"{{ repeat 9999 (repeat 9999 "x") }}"#, "too long"),
            ("{{ now }}", "now"),
        ] {
            assert!(render(source, &data).unwrap_err().to_string().contains(why), "{source}");
        }
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
