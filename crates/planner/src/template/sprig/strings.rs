//! Texts.

use edge_model::document::format::pattern;
use gotmpl::Value;
use regex::Regex;

use super::{Function, LONGEST, Outcome, count, failed, int, items, of_texts, shown, string, text, truth};

pub(super) const ALL: &[(&str, Function)] = &[
    ("lower", |args| string(text(args, 0).to_lowercase())),
    ("upper", |args| string(text(args, 0).to_uppercase())),
    ("title", |args| string(each_word(&text(args, 0), true))),
    ("untitle", |args| string(each_word(&text(args, 0), false))),
    ("swapcase", |args| string(text(args, 0).chars().map(swapped).collect::<String>())),
    ("trim", |args| string(text(args, 0).trim())),
    ("trimAll", |args| string(text(args, 1).trim_matches(|one| text(args, 0).contains(one)))),
    ("trimall", |args| string(text(args, 1).trim_matches(|one| text(args, 0).contains(one)))),
    ("trimPrefix", |args| {
        let (what, of) = (text(args, 0), text(args, 1));
        string(of.strip_prefix(&what).unwrap_or(&of))
    }),
    ("trimSuffix", |args| {
        let (what, of) = (text(args, 0), text(args, 1));
        string(of.strip_suffix(&what).unwrap_or(&of))
    }),
    ("nospace", |args| string(text(args, 0).split_whitespace().collect::<String>())),
    ("initials", |args| {
        string(text(args, 0).split_whitespace().filter_map(|word| word.chars().next()).collect::<String>())
    }),
    ("abbrev", |args| string(abbreviated(&text(args, 1), 0, int(args.first())))),
    ("abbrevboth", |args| string(abbreviated(&text(args, 2), int(args.first()), int(args.get(1))))),
    ("trunc", |args| {
        let (wanted, of) = (int(args.first()), text(args, 1));
        let length = of.chars().count();
        let kept = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX).min(length);
        let skipped = if wanted < 0 { length - kept } else { 0 };
        string(of.chars().skip(skipped).take(kept).collect::<String>())
    }),
    ("substr", |args| {
        let (start, end, of) = (int(args.first()), int(args.get(1)), text(args, 2));
        let length = of.chars().count() as i64;
        let start = start.clamp(0, length);
        let end = if end < 0 { length } else { end.clamp(start, length) };
        string(of.chars().skip(start as usize).take((end - start) as usize).collect::<String>())
    }),
    ("repeat", |args| {
        let (times, of) = (count(args.first()), text(args, 1));
        if of.len().saturating_mul(times) > LONGEST {
            return Err(failed("the text becomes too long"));
        }
        string(of.repeat(times))
    }),
    ("replace", |args| {
        let (of, what, with) = (text(args, 2), text(args, 0), text(args, 1));
        if of.len().saturating_mul(with.len().max(1)) > LONGEST {
            return Err(failed("the text becomes too long"));
        }
        string(of.replace(&what, &with))
    }),
    ("indent", |args| string(indented(&text(args, 1), count(args.first())))),
    ("nindent", |args| string(format!("\n{}", indented(&text(args, 1), count(args.first()))))),
    ("wrap", |args| string(wrapped(&text(args, 1), count(args.first()), "\n"))),
    ("wrapWith", |args| string(wrapped(&text(args, 2), count(args.first()), &text(args, 1)))),
    ("cat", |args| {
        let words: Vec<String> = args.iter().filter(|one| !matches!(one, Value::Nil)).map(shown).collect();
        string(words.join(" "))
    }),
    ("quote", |args| string(quoted(args, |text| format!("{text:?}")))),
    ("squote", |args| string(quoted(args, |text| format!("'{text}'")))),
    ("toString", |args| string(text(args, 0))),
    ("plural", |args| string(text(args, usize::from(int(args.get(2)) != 1)))),
    ("snakecase", |args| string(words_of(&text(args, 0)).join("_").to_lowercase())),
    ("kebabcase", |args| string(words_of(&text(args, 0)).join("-").to_lowercase())),
    ("camelcase", |args| {
        let words = words_of(&text(args, 0));
        string(words.iter().map(|word| first_changed(&word.to_lowercase(), true)).collect::<String>())
    }),
    ("contains", |args| truth(text(args, 1).contains(&text(args, 0)))),
    ("hasPrefix", |args| truth(text(args, 1).starts_with(&text(args, 0)))),
    ("hasSuffix", |args| truth(text(args, 1).ends_with(&text(args, 0)))),
    ("split", |args| parts_by_name(text(args, 1).split(&text(args, 0)))),
    ("splitn", |args| parts_by_name(text(args, 2).splitn(count(args.get(1)).max(1), &text(args, 0)))),
    ("splitList", |args| of_texts(text(args, 1).split(&text(args, 0)).map(str::to_owned))),
    ("join", |args| match args.get(1) {
        Some(Value::List(items)) => string(items.iter().map(shown).collect::<Vec<_>>().join(&text(args, 0))),
        _ => string(text(args, 1)),
    }),
    ("sortAlpha", |args| {
        let mut all: Vec<String> = items(args, 0, "sortAlpha")?.iter().map(shown).collect();
        all.sort();
        of_texts(all.into_iter())
    }),
    ("toStrings", |args| of_texts(items(args, 0, "toStrings")?.iter().map(shown))),
    ("regexMatch", |args| truth(compiled(args)?.is_match(&text(args, 1)))),
    ("mustRegexMatch", |args| truth(compiled(args)?.is_match(&text(args, 1)))),
    ("regexFind", first_match),
    ("mustRegexFind", first_match),
    ("regexFindAll", all_matches),
    ("mustRegexFindAll", all_matches),
    ("regexReplaceAll", replaced),
    ("mustRegexReplaceAll", replaced),
    ("regexReplaceAllLiteral", replaced_literally),
    ("mustRegexReplaceAllLiteral", replaced_literally),
    ("regexSplit", split_by_pattern),
    ("mustRegexSplit", split_by_pattern),
    ("regexQuoteMeta", |args| string(regex::escape(&text(args, 0)))),
    ("fail", |args| Err(failed(text(args, 0)))),
];

fn swapped(letter: char) -> char {
    let other: Vec<char> =
        if letter.is_uppercase() { letter.to_lowercase().collect() } else { letter.to_uppercase().collect() };
    if let [one] = other[..] { one } else { letter }
}

fn first_changed(word: &str, upper: bool) -> String {
    let mut letters = word.chars();
    match letters.next() {
        Some(first) if upper => first.to_uppercase().chain(letters).collect(),
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

fn each_word(text: &str, upper: bool) -> String {
    text.split_inclusive(char::is_whitespace).map(|word| first_changed(word, upper)).collect()
}

/// Go's `goutils.AbbreviateFull`, without its corner cases below four letters.
fn abbreviated(text: &str, offset: i64, width: i64) -> String {
    const DOTS: &str = "...";
    let letters: Vec<char> = text.chars().collect();
    let width = usize::try_from(width).unwrap_or(0);
    let offset = usize::try_from(offset).unwrap_or(0).min(letters.len());
    if width < 4 || letters.len() <= width {
        return text.to_owned();
    }
    if offset <= 4 {
        return letters[..width - 3].iter().collect::<String>() + DOTS;
    }
    if letters.len() - offset <= width - 3 {
        return DOTS.to_owned() + &letters[letters.len() - (width - 3)..].iter().collect::<String>();
    }
    let kept = width.saturating_sub(6);
    DOTS.to_owned() + &letters[offset..(offset + kept).min(letters.len())].iter().collect::<String>() + DOTS
}

fn indented(text: &str, spaces: usize) -> String {
    let pad = " ".repeat(spaces.min(200));
    text.split('\n').map(|line| format!("{pad}{line}")).collect::<Vec<_>>().join("\n")
}

fn wrapped(text: &str, width: usize, with: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(with)
}

fn quoted(args: &[Value], quote: fn(&str) -> String) -> String {
    let words: Vec<String> =
        args.iter().filter(|one| !matches!(one, Value::Nil)).map(|one| quote(&shown(one))).collect();
    words.join(" ")
}

/// At everything that is no letter or digit, and before capitals.
fn words_of(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in text.chars() {
        let begins = letter.is_uppercase() && before.is_lowercase();
        if (begins || !letter.is_alphanumeric()) && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(last) = words.last_mut()
        {
            last.push(letter);
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// `{_0: …, _1: …}`
fn parts_by_name<'t>(parts: impl Iterator<Item = &'t str>) -> Outcome {
    let named = parts.take(1000).enumerate();
    super::of_entries(named.map(|(at, part)| (format!("_{at}").into(), Value::String(part.into()))).collect())
}

fn compiled(args: &[Value]) -> gotmpl::Result<Regex> {
    pattern(&text(args, 0)).map_err(|error| failed(format!("{:?} is not a pattern: {error}", text(args, 0))))
}

fn first_match(args: &[Value]) -> Outcome {
    string(compiled(args)?.find(&text(args, 1)).map(|found| found.as_str().to_owned()).unwrap_or_default())
}

fn all_matches(args: &[Value]) -> Outcome {
    let most = usize::try_from(int(args.get(2))).unwrap_or(usize::MAX);
    let of = text(args, 1);
    let found: Vec<String> =
        compiled(args)?.find_iter(&of).take(most).map(|one| one.as_str().to_owned()).collect();
    of_texts(found.into_iter())
}

fn replaced(args: &[Value]) -> Outcome {
    let (of, with) = (text(args, 1), text(args, 2));
    if of.len().saturating_mul(with.len().max(1)) > LONGEST {
        return Err(failed("the text becomes too long"));
    }
    string(compiled(args)?.replace_all(&of, with.as_str()))
}

fn replaced_literally(args: &[Value]) -> Outcome {
    let (of, with) = (text(args, 1), text(args, 2));
    if of.len().saturating_mul(with.len().max(1)) > LONGEST {
        return Err(failed("the text becomes too long"));
    }
    string(compiled(args)?.replace_all(&of, regex::NoExpand(&with)))
}

fn split_by_pattern(args: &[Value]) -> Outcome {
    let of = text(args, 1);
    let parts: Vec<String> = match usize::try_from(int(args.get(2))) {
        Ok(most) => compiled(args)?.splitn(&of, most).map(str::to_owned).collect(),
        Err(_) => compiled(args)?.split(&of).map(str::to_owned).collect(),
    };
    of_texts(parts.into_iter())
}
