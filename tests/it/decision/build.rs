//! Writes DMN files for tests: one table in a few lines.

#[derive(Clone)]
/// A table in a file. Inputs are `name: type`, outputs `name: type`; a rule is `input | input => output | output`,
/// with an optional `# note` at its end. Extra XML goes where `inputValues` and the like belong (by input index).
pub struct TableFile {
    hit: String,
    inputs: Vec<(String, String, String)>,
    outputs: Vec<(String, String, String)>,
    rules: Vec<String>,
}

impl TableFile {
    pub fn new(hit: &str) -> Self {
        Self {
            hit: hit.to_owned(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// The outputs that decide on records.
    pub fn deciding(hit: &str) -> Self {
        Self::new(hit)
            .output(
                "validationResult: string",
                r#""VALID", "WARNING", "INVALID""#,
            )
            .output("action: string", r#""PROCESS", "REVIEW", "REJECT""#)
    }

    pub fn input(self, clause: &str) -> Self {
        self.input_of(clause, "")
    }

    /// An input with allowed values.
    pub fn input_of(mut self, clause: &str, allowed: &str) -> Self {
        let (name, kind) = clause.rsplit_once(':').unwrap_or((clause, ""));
        self.inputs.push((
            name.trim().to_owned(),
            kind.trim().to_owned(),
            allowed.to_owned(),
        ));
        self
    }

    pub fn output(mut self, clause: &str, values: &str) -> Self {
        let (name, kind) = clause.rsplit_once(':').unwrap_or((clause, ""));
        self.outputs.push((
            name.trim().to_owned(),
            kind.trim().to_owned(),
            values.to_owned(),
        ));
        self
    }

    pub fn rule(mut self, rule: &str) -> Self {
        self.rules.push(rule.to_owned());
        self
    }

    /// Another entry for an input of a rule, which is counted from 1.
    pub fn with_entry(mut self, row: usize, input: &str, entry: &str) -> Self {
        let named = |(name, ..): &(String, String, String)| name == input;
        let column = self.inputs.iter().position(named).unwrap();
        let (inputs, outputs) = self.rules[row - 1].split_once("=>").unwrap();
        let mut cells: Vec<&str> = inputs.split('|').map(str::trim).collect();
        cells[column] = entry;
        self.rules[row - 1] = format!("{} => {}", cells.join(" | "), outputs.trim());
        self
    }

    /// A rule that only says whether the record passes.
    pub fn verdict(self, conditions: &str, validation: &str) -> Self {
        let action = match validation {
            "VALID" => "PROCESS",
            "WARNING" => "REVIEW",
            _ => "REJECT",
        };
        self.rule(&format!("{conditions} => \"{validation}\" | \"{action}\""))
    }

    pub fn xml(&self) -> String {
        use std::fmt::Write as _;
        let mut xml = String::from(
            "<?xml version=\"1.0\"?>\n<definitions xmlns=\"https://www.omg.org/spec/DMN/20191111/MODEL/\" id=\"d\" name=\"d\" namespace=\"x\">\n<decision id=\"table\" name=\"Table\">\n",
        );
        writeln!(xml, "<decisionTable hitPolicy=\"{}\">", escaped(&self.hit)).unwrap();
        for (name, kind, allowed) in &self.inputs {
            let kind = type_ref(kind);
            writeln!(
                xml,
                "<input><inputExpression{kind}><text>{}</text></inputExpression>{}</input>",
                escaped(name),
                values("inputValues", allowed)
            )
            .unwrap();
        }
        for (name, kind, listed) in &self.outputs {
            let name = if name.is_empty() {
                String::new()
            } else {
                format!(" name=\"{}\"", escaped(name))
            };
            writeln!(
                xml,
                "<output{name}{}>{}</output>",
                type_ref(kind),
                values("outputValues", listed)
            )
            .unwrap();
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let (cells, note) = rule.rsplit_once(" # ").unwrap_or((rule, ""));
            let (inputs, outputs) = cells.split_once("=>").unwrap();
            write!(xml, "<rule id=\"R{}\">", index + 1).unwrap();
            if !note.is_empty() {
                write!(xml, "<description>{}</description>", escaped(note)).unwrap();
            }
            for (element, cells) in [("inputEntry", inputs), ("outputEntry", outputs)] {
                if cells.trim().is_empty() {
                    continue;
                }
                for cell in cells.split('|') {
                    write!(
                        xml,
                        "<{element}><text>{}</text></{element}>",
                        escaped(cell.trim())
                    )
                    .unwrap();
                }
            }
            writeln!(xml, "</rule>").unwrap();
        }
        xml.push_str("</decisionTable>\n</decision>\n</definitions>\n");
        xml
    }
}

fn type_ref(kind: &str) -> String {
    if kind.is_empty() {
        String::new()
    } else {
        format!(" typeRef=\"{kind}\"")
    }
}

fn values(element: &str, text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("<{element}><text>{}</text></{element}>", escaped(text))
    }
}

pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
