//! What stages did, for those who ask why a host is as it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One run of one stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageRecord {
    /// Identifier of the boot, as the journal has it.
    pub boot: String,
    pub stage: String,
    /// Milliseconds after power-on.
    pub began: u64,
    /// Milliseconds.
    pub took: u64,
    pub steps: Vec<StepRecord>,
    /// What was wrong with files, before any step ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StageStepRecord")]
pub struct StepRecord {
    pub name: String,
    pub outcome: StepOutcome,
    /// Milliseconds.
    pub took: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum StepOutcome {
    Done,
    /// What would be done.
    Planned {
        actions: Vec<String>,
    },
    Skipped {
        reason: String,
    },
    /// What failed, with the end of its output. The rest of the step was done.
    Failed {
        errors: Vec<String>,
    },
}

impl StageRecord {
    /// Names of steps that failed. Their reasons may hold what a command was given, and are for root.
    pub fn failed_steps(&self) -> impl Iterator<Item = &str> {
        let failed = self.steps.iter().filter(|step| matches!(step.outcome, StepOutcome::Failed { .. }));
        failed.map(|step| step.name.as_str())
    }
}
