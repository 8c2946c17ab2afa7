//! Lists.

use gotmpl::Value;

use super::{Function, MOST, Outcome, count, failed, int, items, of_items, truth};

pub(super) const ALL: &[(&str, Function)] = &[
    ("list", |args| of_items(args.to_vec())),
    ("tuple", |args| of_items(args.to_vec())),
    ("first", first),
    ("mustFirst", first),
    ("rest", rest),
    ("mustRest", rest),
    ("last", last),
    ("mustLast", last),
    ("initial", initial),
    ("mustInitial", initial),
    ("append", append),
    ("mustAppend", append),
    ("push", append),
    ("mustPush", append),
    ("prepend", prepend),
    ("mustPrepend", prepend),
    ("concat", |args| {
        let mut all = Vec::new();
        for at in 0..args.len() {
            all.extend(items(args, at, "concat")?);
        }
        of_items(all)
    }),
    ("reverse", reverse),
    ("mustReverse", reverse),
    ("uniq", uniq),
    ("mustUniq", uniq),
    ("without", without),
    ("mustWithout", without),
    ("has", has),
    ("mustHas", has),
    ("compact", compact),
    ("mustCompact", compact),
    ("slice", slice),
    ("mustSlice", slice),
    ("chunk", chunk),
    ("mustChunk", chunk),
    ("until", |args| range(0, int(args.first()), 1)),
    ("untilStep", |args| range(int(args.first()), int(args.get(1)), int(args.get(2)))),
    ("seq", |args| {
        let number = |at: usize| int(args.get(at));
        let (from, step, to) = match args.len() {
            0 => return super::string(""),
            1 => (1, if number(0) < 1 { -1 } else { 1 }, number(0)),
            2 => (number(0), if number(1) < number(0) { -1 } else { 1 }, number(1)),
            _ => (number(0), number(1), number(2)),
        };
        let Value::List(numbers) = range(from, to.saturating_add(step.signum()), step)? else {
            return super::string("");
        };
        super::string(numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }),
    ("coalesce", |args| Ok(args.iter().find(|value| value.is_truthy()).cloned().unwrap_or(Value::Nil))),
    ("all", |args| truth(args.iter().all(Value::is_truthy))),
    ("any", |args| truth(args.iter().any(Value::is_truthy))),
    ("default", |args| {
        let given = args.get(1).filter(|value| value.is_truthy());
        Ok(given.or(args.first()).cloned().unwrap_or(Value::Nil))
    }),
    ("ternary", |args| {
        let which = if args.get(2).is_some_and(Value::is_truthy) { 0 } else { 1 };
        Ok(args.get(which).cloned().unwrap_or(Value::Nil))
    }),
    ("empty", |args| truth(!args.first().is_some_and(Value::is_truthy))),
];

fn first(args: &[Value]) -> Outcome {
    Ok(items(args, 0, "first")?.first().cloned().unwrap_or(Value::Nil))
}

fn rest(args: &[Value]) -> Outcome {
    of_items(items(args, 0, "rest")?.into_iter().skip(1).collect())
}

fn last(args: &[Value]) -> Outcome {
    Ok(items(args, 0, "last")?.last().cloned().unwrap_or(Value::Nil))
}

fn initial(args: &[Value]) -> Outcome {
    let mut all = items(args, 0, "initial")?;
    all.pop();
    of_items(all)
}

fn append(args: &[Value]) -> Outcome {
    let mut all = items(args, 0, "append")?;
    all.extend(args.get(1).cloned());
    of_items(all)
}

fn prepend(args: &[Value]) -> Outcome {
    of_items(args.get(1).cloned().into_iter().chain(items(args, 0, "prepend")?).collect())
}

fn reverse(args: &[Value]) -> Outcome {
    of_items(items(args, 0, "reverse")?.into_iter().rev().collect())
}

fn uniq(args: &[Value]) -> Outcome {
    let mut seen: Vec<Value> = Vec::new();
    for item in items(args, 0, "uniq")? {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    of_items(seen)
}

fn without(args: &[Value]) -> Outcome {
    let left_out = args.get(1..).unwrap_or_default();
    of_items(items(args, 0, "without")?.into_iter().filter(|item| !left_out.contains(item)).collect())
}

fn has(args: &[Value]) -> Outcome {
    let wanted = args.first().cloned().unwrap_or(Value::Nil);
    truth(items(args, 1, "has")?.contains(&wanted))
}

fn compact(args: &[Value]) -> Outcome {
    of_items(items(args, 0, "compact")?.into_iter().filter(Value::is_truthy).collect())
}

fn slice(args: &[Value]) -> Outcome {
    let all = items(args, 0, "slice")?;
    let start = count(args.get(1)).min(all.len());
    let end = args.get(2).map_or(all.len(), |end| count(Some(end)).clamp(start, all.len()));
    of_items(all[start..end].to_vec())
}

fn chunk(args: &[Value]) -> Outcome {
    let size = count(args.first()).max(1);
    of_items(items(args, 1, "chunk")?.chunks(size).map(|part| Value::List(part.to_vec().into())).collect())
}

fn range(from: i64, to: i64, step: i64) -> Outcome {
    let (from, to, step) = (i128::from(from), i128::from(to), i128::from(step));
    let step = if step == 0 { return of_items(Vec::new()) } else { step };
    let length = ((to - from) / step + i128::from((to - from) % step != 0)).max(0);
    // A range that runs the other way has nothing in it, unless it counts down by itself.
    let (step, length) = if (to - from).signum() * step.signum() < 0 { (step, 0) } else { (step, length) };
    if length > MOST as i128 {
        return Err(failed("the list becomes too long"));
    }
    of_items((0..length).filter_map(|at| i64::try_from(from + at * step).ok()).map(Value::Int).collect())
}
