//! The DMN file as a model: decisions, tables, inputs, types. Reads the tree of elements, but no FEEL.
//!
//! Vendor elements and attributes are ignored. DMN elements that are not supported are kept as [`Logic::Unsupported`], and
//! refused only if a decision needs them.

use std::collections::HashMap;

use super::problem::Problems;
use super::xml::{self, Element};

/// A text of the file and where it stands.
#[derive(Clone, Debug, Default)]
pub struct Text {
    /// As written.
    pub text: String,
    /// Line of its first character that is not white space.
    pub line: usize,
    /// An expression language other than FEEL, when it names one.
    pub language: Option<String>,
}

/// The whole file.
#[derive(Debug)]
pub struct Model {
    /// Its name, for messages.
    pub file: String,
    /// In file order.
    pub decisions: Vec<DecisionModel>,
    /// Declared inputs.
    pub inputs: Vec<InputData>,
    /// Types of the file's own, by name.
    pub types: HashMap<String, ItemDefinition>,
    /// Ids and names of what decisions may require and this program does not support.
    pub foreign: Vec<(String, String, &'static str)>,
}

/// `<inputData>`
#[derive(Debug)]
pub struct InputData {
    /// For references.
    pub id: Option<String>,
    /// The name expressions use.
    pub name: String,
    /// Its type, if given.
    pub type_ref: Option<String>,
    /// Line in the file.
    pub line: usize,
}

/// `<itemDefinition>`
#[derive(Debug, Default)]
pub struct ItemDefinition {
    /// The type it stands for.
    pub type_ref: Option<String>,
    /// Is it a list of that?
    pub collection: bool,
    /// Values it is limited to.
    pub allowed: Option<Text>,
    /// Its parts.
    pub components: Vec<(String, ItemDefinition)>,
}

/// `<decision>`
#[derive(Debug)]
pub struct DecisionModel {
    /// For references and for choosing it.
    pub id: Option<String>,
    /// The name people and expressions use.
    pub name: String,
    /// The name of its variable, where it differs.
    pub variable: Option<String>,
    /// The type of its result, if given.
    pub type_ref: Option<String>,
    /// Line in the file.
    pub line: usize,
    /// What it requires: the id after `#`, and the line.
    pub requires: Vec<(String, usize)>,
    /// How it decides.
    pub logic: Logic,
}

/// How a decision decides.
#[derive(Debug)]
pub enum Logic {
    /// `<decisionTable>`
    Table(Box<TableModel>),
    /// `<literalExpression>`
    Literal(Text),
    /// `<context>`: named entries; an entry without a name is the result.
    Context(Vec<(Option<String>, Logic)>),
    /// `<list>`
    List(Vec<Logic>),
    /// Something this program does not compute, by its name.
    Unsupported(String, usize),
    /// No logic at all.
    Missing,
}

/// `<decisionTable>`
#[derive(Debug)]
pub struct TableModel {
    /// Line in the file.
    pub line: usize,
    /// As written; empty when absent.
    pub hit_policy: String,
    /// As written.
    pub aggregation: Option<String>,
    /// The name given to the output, when there is one only.
    pub output_label: Option<String>,
    /// Input columns.
    pub inputs: Vec<InputClause>,
    /// Output columns.
    pub outputs: Vec<OutputClause>,
    /// Rows.
    pub rules: Vec<RuleModel>,
}

/// `<input>`
#[derive(Debug)]
pub struct InputClause {
    /// The heading people see.
    pub label: Option<String>,
    /// What is tested.
    pub expression: Text,
    /// Its type, if given.
    pub type_ref: Option<String>,
    /// Allowed values.
    pub values: Option<Text>,
    /// Line in the file.
    pub line: usize,
}

/// `<output>`
#[derive(Debug)]
pub struct OutputClause {
    /// Its name; none is allowed for a single output.
    pub name: Option<String>,
    /// Its type, if given.
    pub type_ref: Option<String>,
    /// Allowed values, in the order of their priority.
    pub values: Option<Text>,
    /// What it yields when no rule matches.
    pub default: Option<Text>,
    /// Line in the file.
    pub line: usize,
}

/// `<rule>`
#[derive(Debug)]
pub struct RuleModel {
    /// For references.
    pub id: Option<String>,
    /// What it is for, in words.
    pub description: Option<String>,
    /// Further words, one an annotation column.
    pub annotations: Vec<String>,
    /// One an input column.
    pub inputs: Vec<Text>,
    /// One an output column.
    pub outputs: Vec<Text>,
    /// Line in the file.
    pub line: usize,
}

/// Elements that a decision may require and that are not computed here, with their names in words.
const FOREIGN: [(&str, &str); 3] = [
    ("businessKnowledgeModel", "business knowledge model"),
    ("decisionService", "decision service"),
    ("import", "import"),
];

impl Model {
    /// Reads a file. Only what keeps it from being a DMN file at all fails here.
    pub fn read(text: &str, file: &str) -> Result<Self, Problems> {
        let root = xml::read(text, file)?;
        if root.name != "definitions" || !root.dmn {
            return Err(Problems::one(
                file,
                root.line,
                format!(
                    "the root element is <{}>: expected <definitions> in a DMN name space, such as https://www.omg.org/spec/DMN/20191111/MODEL/",
                    root.name
                ),
            ));
        }
        let language = foreign_language(root.attribute("expressionLanguage"));
        let mut model = Self {
            file: file.to_owned(),
            decisions: Vec::new(),
            inputs: Vec::new(),
            types: HashMap::new(),
            foreign: Vec::new(),
        };
        for child in root.children.iter().filter(|child| child.dmn) {
            let name = child.attribute("name").unwrap_or_default().to_owned();
            let id = child.attribute("id").map(str::to_owned);
            match child.name.as_str() {
                "decision" => model.decisions.push(decision(child, language.as_deref())),
                "inputData" => {
                    let variable = child.first("variable");
                    model.inputs.push(InputData {
                        id,
                        name: variable
                            .and_then(|variable| variable.attribute("name"))
                            .map_or(name, str::to_owned),
                        type_ref: variable
                            .and_then(|variable| variable.attribute("typeRef"))
                            .map(str::to_owned),
                        line: child.line,
                    });
                }
                "itemDefinition" => {
                    model.types.insert(name, item_definition(child));
                }
                other => {
                    if let Some((_, kind)) = FOREIGN.iter().find(|(known, _)| *known == other) {
                        model.foreign.push((id.unwrap_or_default(), name, kind));
                    }
                }
            }
        }
        if model.decisions.is_empty() {
            let message = "there is no <decision> in it";
            return Err(Problems::one(file, root.line, message));
        }
        Ok(model)
    }

    /// A decision by its name or id.
    pub fn decision(&self, name: &str) -> Option<usize> {
        self.decisions
            .iter()
            .position(|decision| decision.name == name)
            .or_else(|| {
                self.decisions
                    .iter()
                    .position(|decision| decision.id.as_deref() == Some(name))
            })
    }
}

impl DecisionModel {
    /// The name other decisions know its result by.
    pub fn variable_name(&self) -> &str {
        self.variable.as_deref().unwrap_or(&self.name)
    }
}

/// Names the language when it is not FEEL.
fn foreign_language(attribute: Option<&str>) -> Option<String> {
    let language = attribute?.trim();
    let lower = language.to_ascii_lowercase();
    // Also `feel-scala`, as an engine calls its own FEEL.
    let feel = lower.is_empty() || lower.starts_with("feel") || lower.contains("/feel");
    (!feel).then(|| language.to_owned())
}

fn text_of(element: &Element, language: Option<&str>) -> Text {
    let own = element.attribute("expressionLanguage");
    let language = match own {
        Some(_) => foreign_language(own),
        None => language.map(str::to_owned),
    };
    let Some(text) = element.first("text") else {
        return Text {
            text: String::new(),
            line: element.line,
            language,
        };
    };
    let leading = text.text.len() - text.text.trim_start().len();
    Text {
        line: text.text_line + text.text[..leading].matches('\n').count(),
        text: text.text.trim().to_owned(),
        language,
    }
}

fn own_text(element: &Element) -> Option<String> {
    let text = element
        .text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    (!text.is_empty()).then_some(text)
}

fn item_definition(element: &Element) -> ItemDefinition {
    ItemDefinition {
        type_ref: element
            .first("typeRef")
            .and_then(own_text)
            .or_else(|| element.attribute("typeRef").map(str::to_owned)),
        collection: element.attribute("isCollection") == Some("true"),
        allowed: element
            .first("allowedValues")
            .map(|values| text_of(values, None)),
        components: element
            .all("itemComponent")
            .map(|component| {
                (
                    component.attribute("name").unwrap_or_default().to_owned(),
                    item_definition(component),
                )
            })
            .collect(),
    }
}

fn decision(element: &Element, language: Option<&str>) -> DecisionModel {
    let variable = element.first("variable");
    let mut requires = Vec::new();
    // What a `knowledgeRequirement` names is refused only where it is called.
    for requirement in element.all("informationRequirement") {
        for target in requirement.children.iter().filter(|target| target.dmn) {
            if let Some(href) = target.attribute("href") {
                let id = href.rsplit('#').next().unwrap_or(href);
                requires.push((id.to_owned(), target.line));
            }
        }
    }
    DecisionModel {
        id: element.attribute("id").map(str::to_owned),
        name: element
            .attribute("name")
            .or_else(|| element.attribute("id"))
            .unwrap_or_default()
            .to_owned(),
        variable: variable
            .and_then(|variable| variable.attribute("name"))
            .map(str::to_owned),
        type_ref: variable
            .and_then(|variable| variable.attribute("typeRef"))
            .map(str::to_owned),
        line: element.line,
        requires,
        logic: logic_inside(element, language),
    }
}

/// The one expression among the children.
fn logic_inside(element: &Element, language: Option<&str>) -> Logic {
    const NOT_LOGIC: &[&str] = &[
        "description",
        "extensionElements",
        "question",
        "allowedAnswers",
        "variable",
        "informationRequirement",
        "knowledgeRequirement",
        "authorityRequirement",
        "supportedObjective",
        "impactedPerformanceIndicator",
        "decisionMaker",
        "decisionOwner",
        "usingProcess",
        "usingTask",
        "formalParameter",
    ];
    for child in element.children.iter().filter(|child| child.dmn) {
        let name = child.name.as_str();
        if NOT_LOGIC.contains(&name) {
            continue;
        }
        return logic(child, language);
    }
    Logic::Missing
}

fn logic(child: &Element, language: Option<&str>) -> Logic {
    match child.name.as_str() {
        "decisionTable" => Logic::Table(Box::new(table(child, language))),
        "literalExpression" => Logic::Literal(text_of(child, language)),
        "context" => Logic::Context(
            child
                .all("contextEntry")
                .map(|entry| {
                    let name = entry
                        .first("variable")
                        .and_then(|variable| variable.attribute("name"))
                        .map(str::to_owned);
                    (name, logic_inside(entry, language))
                })
                .collect(),
        ),
        "list" => Logic::List(
            child
                .children
                .iter()
                .filter(|item| item.dmn)
                .map(|item| logic(item, language))
                .collect(),
        ),
        "invocation" => {
            let called = child.first("literalExpression");
            let called = called.and_then(|called| called.first("text"));
            Logic::Unsupported(
                called.and_then(own_text).map_or_else(
                    || "invocation".to_owned(),
                    |name| format!("invocation of {name}"),
                ),
                child.line,
            )
        }
        other => Logic::Unsupported(other.to_owned(), child.line),
    }
}

fn table(element: &Element, language: Option<&str>) -> TableModel {
    TableModel {
        line: element.line,
        hit_policy: element
            .attribute("hitPolicy")
            .unwrap_or_default()
            .to_owned(),
        aggregation: element.attribute("aggregation").map(str::to_owned),
        output_label: element.attribute("outputLabel").map(str::to_owned),
        inputs: element
            .all("input")
            .map(|input| {
                let expression = input.first("inputExpression");
                InputClause {
                    label: input.attribute("label").map(str::to_owned),
                    expression: expression.map_or_else(
                        || Text {
                            line: input.line,
                            ..Text::default()
                        },
                        |expression| text_of(expression, language),
                    ),
                    type_ref: expression
                        .and_then(|expression| expression.attribute("typeRef"))
                        .map(str::to_owned),
                    values: input
                        .first("inputValues")
                        .map(|values| text_of(values, None)),
                    line: input.line,
                }
            })
            .collect(),
        outputs: element
            .all("output")
            .map(|output| OutputClause {
                name: output
                    .attribute("name")
                    .filter(|name| !name.trim().is_empty())
                    .map(str::to_owned),
                type_ref: output.attribute("typeRef").map(str::to_owned),
                values: output
                    .first("outputValues")
                    .map(|values| text_of(values, None)),
                default: output
                    .first("defaultOutputEntry")
                    .map(|entry| text_of(entry, language)),
                line: output.line,
            })
            .collect(),
        rules: element
            .all("rule")
            .map(|rule| RuleModel {
                id: rule.attribute("id").map(str::to_owned),
                description: rule.first("description").and_then(own_text),
                annotations: rule
                    .all("annotationEntry")
                    .filter_map(|entry| entry.first("text").and_then(own_text))
                    .collect(),
                inputs: rule
                    .all("inputEntry")
                    .map(|entry| text_of(entry, language))
                    .collect(),
                outputs: rule
                    .all("outputEntry")
                    .map(|entry| text_of(entry, language))
                    .collect(),
                line: rule.line,
            })
            .collect(),
    }
}
