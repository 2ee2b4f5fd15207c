//! `datasync validate`: the configuration, the decision table, and the verdict on given records. Writes nothing.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::api;
use crate::cli::{Global, Output, ValidateArgs};
use crate::config::Needs;
use crate::config::plan::Plan;
use crate::decision::Scratch;
use crate::exit::Exit;
use crate::pipeline::{Judgement, Rules, judge};
use crate::record::Validation;
use crate::report::clean;
use crate::transform::{Shaped, Transform};

/// Verdicts a text result lists one by one; the JSON has them all.
const LISTED: usize = 50;

pub(super) fn run(global: &Global, args: &ValidateArgs) -> Result<Exit> {
    let plan = super::load(
        global,
        Needs {
            api: args.fetch,
            database: false,
        },
    )?;
    let transform = Transform::new(&plan.mapping)?;
    let decision = super::load_decision(&plan, &transform)?;
    let rules = Rules {
        transform: &transform,
        decision: &decision,
    };
    let verdicts = match (&args.input, args.fetch) {
        (Some(path), _) => judge_text(&read(path)?, &plan, rules, args)?,
        (None, true) => judge_fetched(&plan, rules, args)?,
        (None, false) => Vec::new(),
    };
    let counts = |wanted: Validation| {
        verdicts
            .iter()
            .filter(|verdict| verdict.validation == wanted)
            .count()
    };
    let (valid, warning, invalid) = (
        counts(Validation::Valid),
        counts(Validation::Warning),
        counts(Validation::Invalid),
    );
    let exit = if args.strict && invalid > 0 {
        Exit::Threshold
    } else {
        Exit::Success
    };
    if global.quiet && exit == Exit::Success {
        return Ok(exit);
    }
    if global.output == Output::Json {
        let result = json!({
            "config": { "errors": [], "warnings": plan.warnings },
            "lint": [],
            "records": { "total": verdicts.len(), "valid": valid, "warning": warning, "invalid": invalid },
            "verdicts": verdicts.iter().map(VerdictShown::json).collect::<Vec<_>>(),
            "exit_code": exit.code(),
        });
        super::print(&(result.to_string() + "\n"));
        return Ok(exit);
    }
    let mut text = String::new();
    for warning in &plan.warnings {
        text += &format!("note: {warning}\n");
    }
    if args.input.is_none() && !args.fetch {
        text += &format!(
            "ok: mappings and {} are fit to run\n",
            plan.decisions_file.display()
        );
    } else {
        for verdict in verdicts
            .iter()
            .filter(|v| v.validation != Validation::Valid || v.explained.is_some())
            .take(LISTED)
        {
            text += &verdict.text();
        }
        text += &format!(
            "{} records: {valid} valid, {warning} to review, {invalid} invalid\n",
            verdicts.len()
        );
    }
    super::print(&text);
    Ok(exit)
}

/// One record's verdict, ready to be shown.
struct VerdictShown {
    /// The record's id, or its number in the input when it has none.
    id: String,
    validation: Validation,
    action: &'static str,
    rules: Vec<String>,
    errors: Vec<Value>,
    message: Option<String>,
    explained: Option<(Value, String)>,
}

impl VerdictShown {
    fn json(&self) -> Value {
        let mut object = json!({
            "id": self.id, "validationResult": self.validation.as_str(), "action": self.action,
            "rules": self.rules, "errors": self.errors, "message": self.message,
        });
        if let (Some((explanation, _)), Some(object)) = (&self.explained, object.as_object_mut()) {
            object.insert("explanation".into(), explanation.clone());
        }
        object
    }

    fn text(&self) -> String {
        let message = self.message.as_deref().unwrap_or_default();
        let mut text = format!(
            "{:<8} {:<8} {:<24} {}\n",
            self.validation.as_str(),
            self.action,
            clean(&self.id),
            clean(message)
        );
        if let Some((_, explanation)) = &self.explained {
            for line in explanation.lines() {
                text += &format!("    {}\n", clean(line));
            }
        }
        text
    }
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read records from stdin")?;
    } else {
        text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read records from {}", path.display()))?;
    }
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// A JSON array, an API page, or one record a line.
fn judge_text(
    text: &str,
    plan: &Plan,
    rules: Rules<'_>,
    args: &ValidateArgs,
) -> Result<Vec<VerdictShown>> {
    let ranges = api::split_records(text, plan.records.as_deref())
        .context("--input: expected a JSON array, one JSON object a line, or a page of the API")?;
    let records = ranges
        .iter()
        .map(|range| &text[range.start as usize..range.end as usize]);
    let limit = args.limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    Ok(judge_all(
        records.take(limit),
        rules,
        args.explain.as_deref(),
    ))
}

fn judge_fetched(plan: &Plan, rules: Rules<'_>, args: &ValidateArgs) -> Result<Vec<VerdictShown>> {
    let api = plan.api()?;
    let want = api::Want {
        limit: args.limit,
        ..api::Want::default()
    };
    let pages = api::Pages::new(api, want)?;
    let client = api::Client::new(api)?;
    let mut verdicts = Vec::new();
    while let Some(page) = pages.next(&client) {
        let page = page?;
        let records = page
            .records
            .iter()
            .map(|range| &page.text[range.start as usize..range.end as usize]);
        verdicts.extend(judge_all(records, rules, args.explain.as_deref()));
    }
    Ok(verdicts)
}

fn judge_all<'a>(
    records: impl Iterator<Item = &'a str>,
    rules: Rules<'_>,
    explain: Option<&str>,
) -> Vec<VerdictShown> {
    let mut scratch = Scratch::default();
    let mut verdicts = Vec::new();
    for (number, raw) in records.enumerate() {
        let mut shaped = Shaped::new();
        rules.transform.apply(raw, &mut shaped);
        let id = shaped
            .id
            .as_deref()
            .map_or_else(|| format!("record {}", number + 1), str::to_owned);
        let _ = explain;
        let explained: Option<(Value, String)> = None;
        verdicts.push(match judge(rules, &shaped, &mut scratch) {
            Judgement::Accepted(verdict) => VerdictShown {
                id,
                validation: verdict.validation,
                action: verdict.action.as_str(),
                rules: verdict.rules.as_slice().iter().map(|&id| id.to_owned()).collect(),
                errors: Vec::new(),
                message: Some(verdict.reason.to_string()).filter(|reason| !reason.is_empty()),
                explained,
            },
            Judgement::Refused(refusal) => VerdictShown {
                id,
                validation: Validation::Invalid,
                action: "REJECT",
                rules: refusal.rules,
                errors: refusal
                    .errors
                    .iter()
                    .map(|e| json!({ "field": e.field, "expected": e.expected, "problem": e.problem }))
                    .collect(),
                message: Some(refusal.message),
                explained,
            },
        });
    }
    verdicts
}
