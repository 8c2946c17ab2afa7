//! Numbers, and versions.

use std::cmp::Ordering;

use gotmpl::Value;

use super::{Function, Outcome, failed, float, int, of_entries, text, truth};
use crate::upgrade::compare_versions;

pub(super) const ALL: &[(&str, Function)] = &[
    ("atoi", |args| Ok(Value::Int(int(args.first())))),
    ("int", |args| Ok(Value::Int(int(args.first())))),
    ("int64", |args| Ok(Value::Int(int(args.first())))),
    ("float64", |args| Ok(Value::Float(float(args.first())))),
    ("toDecimal", |args| Ok(Value::Int(i64::from_str_radix(text(args, 0).trim(), 8).unwrap_or(0)))),
    ("add1", |args| Ok(Value::Int(int(args.first()).saturating_add(1)))),
    ("add", |args| folded(args, i64::saturating_add)),
    ("sub", |args| folded(args, i64::saturating_sub)),
    ("mul", |args| folded(args, i64::saturating_mul)),
    ("div", |args| divided(args, i64::checked_div)),
    ("mod", |args| divided(args, i64::checked_rem)),
    ("max", |args| folded(args, i64::max)),
    ("biggest", |args| folded(args, i64::max)),
    ("min", |args| folded(args, i64::min)),
    ("add1f", |args| Ok(Value::Float(float(args.first()) + 1.0))),
    ("addf", |args| folded_floats(args, |one, other| one + other)),
    ("subf", |args| folded_floats(args, |one, other| one - other)),
    ("mulf", |args| folded_floats(args, |one, other| one * other)),
    ("divf", |args| folded_floats(args, |one, other| one / other)),
    ("maxf", |args| folded_floats(args, f64::max)),
    ("minf", |args| folded_floats(args, f64::min)),
    ("ceil", |args| Ok(Value::Float(float(args.first()).ceil()))),
    ("floor", |args| Ok(Value::Float(float(args.first()).floor()))),
    ("round", |args| {
        let places = i32::try_from(int(args.get(1)).clamp(0, 15)).unwrap_or(0);
        let factor = 10_f64.powi(places);
        Ok(Value::Float((float(args.first()) * factor).round() / factor))
    }),
    ("semver", |args| {
        let version = parts_of(&text(args, 0))?;
        let names = ["Major", "Minor", "Patch"];
        let numbers = names.iter().zip(version).map(|(name, number)| ((*name).into(), Value::Int(number)));
        of_entries(numbers.collect())
    }),
    ("semverCompare", |args| {
        let (constraint, version) = (text(args, 0), text(args, 1));
        let mut holds = true;
        for part in constraint.split(',') {
            holds &= satisfies(part.trim(), &version)?;
        }
        truth(holds)
    }),
];

fn folded(args: &[Value], with: fn(i64, i64) -> i64) -> Outcome {
    let mut numbers = args.iter().map(|one| int(Some(one)));
    let first = numbers.next().unwrap_or(0);
    Ok(Value::Int(numbers.fold(first, with)))
}

fn folded_floats(args: &[Value], with: fn(f64, f64) -> f64) -> Outcome {
    let mut numbers = args.iter().map(|one| float(Some(one)));
    let first = numbers.next().unwrap_or(0.0);
    Ok(Value::Float(numbers.fold(first, with)))
}

fn divided(args: &[Value], with: fn(i64, i64) -> Option<i64>) -> Outcome {
    let done = with(int(args.first()), int(args.get(1)));
    done.map(Value::Int).ok_or_else(|| failed("a division by zero"))
}

/// `1.2.3` of `v1.2.3-rc1`.
fn parts_of(version: &str) -> gotmpl::Result<[i64; 3]> {
    let bare = version.trim().trim_start_matches('v');
    let bare = bare.split(['-', '+']).next().unwrap_or_default();
    let mut parts = bare.split('.').map(|part| part.parse::<i64>().ok().filter(|number| *number >= 0));
    let mut next = |otherwise| parts.next().unwrap_or(otherwise);
    match (next(None), next(Some(0)), next(Some(0))) {
        (Some(major), Some(minor), Some(patch)) => Ok([major, minor, patch]),
        _ => Err(failed(format!("{version:?} is not a version"))),
    }
}

/// `>=1.2.3`, `~1.2`, `^1`, `1.2.3`.
fn satisfies(constraint: &str, version: &str) -> gotmpl::Result<bool> {
    let bare = constraint.trim_start_matches(['<', '>', '=', '!', '~', '^']).trim();
    let operator = constraint
        [..constraint.len() - constraint.trim_start_matches(['<', '>', '=', '!', '~', '^']).len()]
        .trim();
    let (wanted, found) = (parts_of(bare)?, parts_of(version)?);
    let order = compare_versions(version.trim().trim_start_matches('v'), bare.trim_start_matches('v'));
    let order = if found == wanted && !version.contains('-') && !bare.contains('-') {
        Ordering::Equal
    } else {
        order
    };
    let at_least = order != Ordering::Less;
    Ok(match operator {
        ">" => order == Ordering::Greater,
        ">=" | "=>" => at_least,
        "<" => order == Ordering::Less,
        "<=" | "=<" => order != Ordering::Greater,
        "!=" => order != Ordering::Equal,
        "~" => at_least && found[..2] == wanted[..2],
        "^" if wanted[0] > 0 => at_least && found[0] == wanted[0],
        "^" => at_least && found[..2] == wanted[..2],
        _ => order == Ordering::Equal,
    })
}
