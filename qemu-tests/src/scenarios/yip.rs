//! What steps mean in yip, case by case, on a host that runs: `tables/yip.txt`.

use std::fmt::Write;

use edge_model::{Error, Result};
use qemu_tests::bench_ground::Ground;
use qemu_tests::ssh::Ssh;

use super::configuration::put;
use super::ensure;

const TABLE: &str = include_str!("../../tables/yip.txt");
const FEWEST_ROWS: usize = 150;
/// The names of both are nobody else's.
const STAGE: &str = "yip-table";
const ANSWERS: &str = "/run/yip-answers";
/// Between the answers to two rows.
const MARK: &str = "=== ";

/// One case.
struct Row<'t> {
    what: &'t str,
    /// Keys of a step, as lines of YAML.
    step: Vec<&'t str>,
    /// A shell command, asked behind the step.
    question: &'t str,
    answer: String,
}

/// Rows are blocks between empty lines; the first block says what they are.
fn rows() -> Result<Vec<Row<'static>>> {
    TABLE.split("\n\n").skip(1).map(|block| row(block.trim_end())).collect()
}

fn row(block: &'static str) -> Result<Row<'static>> {
    let wrong = || Error::internal(format!("this is no row of the table: {block}"));
    let mut lines = block.lines();
    let what = lines.next().and_then(|line| line.strip_prefix("# ")).ok_or_else(wrong)?;
    let (mut step, mut question, mut answer) = (Vec::new(), None, Vec::new());
    for line in lines {
        if let Some(asked) = line.strip_prefix("$ ") {
            question = Some(asked);
        } else if question.is_none() {
            step.push(line);
        } else if let Some(said) = line.strip_prefix("> ").or_else(|| line.strip_prefix("here> ")) {
            answer.push(said);
        } else if !line.starts_with("yip> ") {
            return Err(wrong());
        }
    }
    let question = question.filter(|_| !step.is_empty() && !answer.is_empty()).ok_or_else(wrong)?;
    Ok(Row { what, step, question, answer: answer.join("\n") })
}

/// Each row's step, and behind it one that asks.
fn document(rows: &[Row<'_>]) -> String {
    let mut text = format!("stages:\n  {STAGE}:\n");
    for (at, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "  - name: row {at}");
        row.step.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
        let _ = writeln!(text, "  - name: question {at}\n    commands: [sh {ANSWERS}.sh {at}]");
    }
    text
}

fn questions(rows: &[Row<'_>]) -> String {
    let mut text = format!("exec >> {ANSWERS} 2>&1\necho \"{MARK}$1\"\ncase $1 in\n");
    for (at, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "{at}) {} ;;", row.question);
    }
    text + "esac\n"
}

/// All rows in one run of a stage.
pub(super) fn steps_mean_what_they_mean_in_yip(ssh: &Ssh<'_>, ground: &Ground) -> Result<()> {
    let rows = rows()?;
    ensure(rows.len() >= FEWEST_ROWS, || format!("the table has {} rows", rows.len()))?;
    put(ssh, ground, "/oem/60_yip.yaml", &document(&rows), "600")?;
    put(ssh, ground, &format!("{ANSWERS}.sh"), &questions(&rows), "600")?;
    let run = format!(
        "sudo edge-agent stage run {STAGE} --json > /dev/null; sudo cat {ANSWERS}; sudo rm /oem/60_yip.yaml"
    );
    let said = ssh.run(&run, ground.patience(180))?;
    let answers: Vec<&str> = said.split(MARK).skip(1).collect();
    ensure(answers.len() == rows.len(), || {
        format!("{} of {} rows were asked: {said}", answers.len(), rows.len())
    })?;
    let differ: Vec<String> = rows
        .iter()
        .zip(answers)
        .filter_map(|(row, answer)| {
            let answer = answer.split_once('\n').map_or("", |(_, answer)| answer.trim_end());
            (answer != row.answer).then(|| format!("{}: {answer:?} instead of {:?}", row.what, row.answer))
        })
        .collect();
    ensure(differ.is_empty(), || format!("{} rows differ:\n{}", differ.len(), differ.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let rows = rows().unwrap();
        assert!(rows.len() >= FEWEST_ROWS, "{}", rows.len());
        let mut names: Vec<&str> = rows.iter().map(|row| row.what).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "two rows have one name");
    }
}
