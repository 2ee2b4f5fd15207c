//! Decision tables by example: hit policies, aggregations, priorities, defaults, required decisions, outcomes.

use datasync::decision::feel::eval::Frame;
use datasync::decision::feel::value::Value;
use datasync::decision::model::Model;
use datasync::decision::program::Program;
use datasync::decision::{Decision, Scratch};
use datasync::model::record::{Action, Cell, Validation};

use super::build::TableFile;
use super::{VARIABLES, decimal};

/// The result of the last decision of a file for `x`.
fn result(xml: &str, x: &str) -> String {
    let model = Model::read(xml, "t.dmn.xml").unwrap();
    let program = Program::compile(&model, model.decisions.len() - 1, &["x"], true)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let mut frame = Frame::default();
    frame.values.resize(program.slots, Value::Null);
    frame.values[0] = decimal_value(x);
    program.run(&mut frame, &mut Vec::new()).literal()
}

fn decimal_value(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::Null, Value::Number)
}

fn sizes(hit: &str) -> TableFile {
    TableFile::new(hit)
        .input("x: number")
        .output("size", "\"large\", \"medium\", \"small\"")
        .rule("> 0 => \"small\"")
        .rule("> 10 => \"medium\"")
        .rule("> 100 => \"large\"")
}

fn points(hit: &str) -> TableFile {
    TableFile::new(hit)
        .input("x: number")
        .output("points", "")
        .rule("> 0 => 5")
        .rule("> 10 => 0.5")
        .rule("> 100 => 20")
}

#[test]
fn each_hit_policy_has_its_result() {
    for (hit, x, expected) in [
        ("UNIQUE", "5", "\"small\""),
        ("UNIQUE", "50", "null"),
        ("", "5", "\"small\""),
        ("FIRST", "500", "\"small\""),
        ("PRIORITY", "500", "\"large\""),
        ("PRIORITY", "50", "\"medium\""),
        ("ANY", "5", "\"small\""),
        ("ANY", "50", "null"),
        ("RULE ORDER", "500", "[\"small\", \"medium\", \"large\"]"),
        ("OUTPUT ORDER", "500", "[\"large\", \"medium\", \"small\"]"),
        ("COLLECT", "50", "[\"small\", \"medium\"]"),
        ("FIRST", "0", "null"),
    ] {
        assert_eq!(result(&sizes(hit).xml(), x), expected, "{hit} {x}");
    }
}

#[test]
fn each_aggregation_has_its_result() {
    for (hit, expected) in [
        ("C+", "25.5"),
        ("C#", "3"),
        ("C<", "0.5"),
        ("C>", "20"),
        ("C", "[5, 0.5, 20]"),
    ] {
        assert_eq!(result(&points(hit).xml(), "500"), expected, "{hit}");
    }
    for (aggregation, expected) in [
        ("SUM", "25.5"),
        ("COUNT", "3"),
        ("MIN", "0.5"),
        ("MAX", "20"),
    ] {
        let xml = points("COLLECT").xml().replace(
            "hitPolicy=\"COLLECT\"",
            &format!("hitPolicy=\"COLLECT\" aggregation=\"{aggregation}\""),
        );
        assert_eq!(result(&xml, "500"), expected, "{aggregation}");
    }
}

#[test]
fn several_outputs_make_a_context_and_defaults_fill_in() {
    let table = TableFile::new("UNIQUE")
        .input("x: number")
        .output("a", "")
        .output("b c", "")
        .rule("> 0 => x * 2 | \"yes\"");
    assert_eq!(result(&table.xml(), "4"), "{a: 8, b c: \"yes\"}");
    let xml = table.xml().replacen(
        "</output>",
        "<defaultOutputEntry><text>0</text></defaultOutputEntry></output>",
        1,
    );
    assert_eq!(result(&xml, "-4"), "{a: 0, b c: null}");
}

#[test]
fn every_name_space_and_vendor_additions_are_read() {
    for space in [
        "http://www.omg.org/spec/DMN/20151101/dmn.xsd",
        "http://www.omg.org/spec/DMN/20180521/MODEL/",
        "https://www.omg.org/spec/DMN/20191111/MODEL/",
        "https://www.omg.org/spec/DMN/20211108/MODEL/",
        "https://www.omg.org/spec/DMN/20230324/MODEL/",
        "https://www.omg.org/spec/DMN/20240513/MODEL/",
    ] {
        let xml = sizes("FIRST")
            .xml()
            .replace("https://www.omg.org/spec/DMN/20191111/MODEL/", space);
        assert_eq!(result(&xml, "5"), "\"small\"", "{space}");
    }
    let xml = sizes("FIRST")
        .xml()
        .replace(
            "<definitions ",
            "<definitions xmlns:vendor=\"urn:v\" vendor:hitPolicy=\"X\" ",
        )
        .replace("<decisionTable ", "<decisionTable vendor:rule=\"y\" ")
        .replace("<rule ", "<vendor:rule/><rule vendor:id=\"z\" ")
        .replace(
            "<input>",
            "<input><extensionElements><vendor:text>boo</vendor:text></extensionElements>",
        );
    assert_eq!(result(&xml, "5"), "\"small\"");
    let prefixed = sizes("FIRST")
        .xml()
        .replace("xmlns=", "xmlns:dmn=")
        .replace("</", "</dmn:");
    let prefixed = [
        "definitions",
        "decision ",
        "decisionTable",
        "inputExpression",
        "inputEntry",
        "outputEntry",
        "outputValues",
        "input>",
        "output ",
        "rule ",
        "text>",
    ]
    .iter()
    .fold(prefixed, |xml, name| {
        xml.replace(&format!("<{name}"), &format!("<dmn:{name}"))
    });
    assert_eq!(result(&prefixed, "5"), "\"small\"");
}

#[test]
fn decisions_build_on_each_other() {
    let table = sizes("PRIORITY").xml();
    let xml = table.replace(
        "</definitions>",
        "<decision id=\"last\" name=\"Last\"><informationRequirement><requiredDecision href=\"#table\"/></informationRequirement><literalExpression><text>upper case(Table) + \"!\"</text></literalExpression></decision></definitions>",
    );
    assert_eq!(result(&xml, "50"), "\"MEDIUM!\"");
}

fn verdict_of(table: &TableFile, cell: &Cell<'_>) -> (&'static str, Validation, String) {
    let decision = Decision::compile(&table.xml(), "t.dmn.xml", None, VARIABLES)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let variables = [
        Cell::Null,
        Cell::Null,
        Cell::Text("lead".into()),
        cell.clone(),
        Cell::Boolean(true),
    ];
    let mut scratch = Scratch::default();
    let verdict = decision.decide(&variables, &mut scratch);
    (
        verdict.class,
        verdict.validation,
        verdict.reason.into_owned(),
    )
}

#[test]
fn every_way_of_not_deciding_is_an_outcome_of_its_own() {
    let unique = TableFile::deciding("UNIQUE")
        .input_of("qualityScore: number", "[0..100]")
        .verdict("[50..80]", "WARNING")
        .verdict(">= 80", "VALID");
    for (score, class, sentence) in [
        ("60", "decided", "a rule says it needs a look"),
        ("20", "no_rule", "no rule of \"Table\" matches"),
        (
            "80",
            "several_rules",
            "rule 1 (R1), rule 2 (R2) of \"Table\" match, where its hit policy UNIQUE allows one",
        ),
        (
            "null",
            "null_input",
            "no rule of \"Table\" matches, and the input `qualityScore` is null",
        ),
        (
            "101",
            "value_not_allowed",
            "the input `qualityScore` of \"Table\" is none of its allowed values ([0..100])",
        ),
    ] {
        let (found, validation, reason) = verdict_of(&unique, &decimal(score));
        assert_eq!((found, reason.as_str()), (class, sentence), "{score}");
        assert_eq!(validation == Validation::Invalid, class != "decided");
    }
    let (class, _, reason) = verdict_of(&unique, &Cell::Text("secret".into()));
    assert_eq!(class, "type_error");
    assert!(
        reason.contains("is a string, where a number is expected") && !reason.contains("secret")
    );
    let any = TableFile::deciding("ANY")
        .input("qualityScore: number")
        .verdict("> 50", "VALID")
        .verdict("> 60", "WARNING");
    assert_eq!(verdict_of(&any, &decimal("70")).0, "conflicting_rules");
    let computed = TableFile::deciding("UNIQUE")
        .input("qualityScore: number")
        .rule("- => \"VAL\" + recordType | \"PROCESS\"");
    let (class, _, reason) = verdict_of(&computed, &decimal("70"));
    assert_eq!(class, "bad_output");
    assert!(
        reason.contains("`validationResult`") && !reason.contains("lead"),
        "{reason}"
    );
}

#[test]
fn the_reason_is_the_output_then_the_description_then_the_annotation() {
    let table = TableFile::deciding("UNIQUE")
        .output("reason: string", "")
        .input("qualityScore: number")
        .rule("< 50 => \"INVALID\" | \"REJECT\" | \"said so\" # described")
        .rule(">= 50 => \"VALID\" | \"PROCESS\" | - # described");
    assert_eq!(verdict_of(&table, &decimal("10")).2, "said so");
    assert_eq!(verdict_of(&table, &decimal("90")).2, "described");
    let xml = TableFile::deciding("UNIQUE")
        .input("qualityScore: number")
        .verdict("-", "VALID")
        .xml()
        .replace(
            "</rule>",
            "<annotationEntry><text>noted</text></annotationEntry></rule>",
        );
    let decision = Decision::compile(&xml, "t", None, VARIABLES).unwrap();
    let mut scratch = Scratch::default();
    let variables = [Cell::Null, Cell::Null, Cell::Null, Cell::Null, Cell::Null];
    let verdict = decision.decide(&variables, &mut scratch);
    assert_eq!(
        (verdict.reason.as_ref(), verdict.action),
        ("noted", Action::Process)
    );
}

#[test]
fn the_decision_that_decides_can_be_named() {
    let one = TableFile::deciding("UNIQUE")
        .input("qualityScore: number")
        .verdict("-", "VALID")
        .xml();
    let two = one
        .replace("id=\"table\" name=\"Table\"", "id=\"other\" name=\"Other\"")
        .replace("\"VALID\"", "\"WARNING\"");
    let start = two.find("<decision ").unwrap();
    let end = two.find("</definitions>").unwrap();
    let xml = one.replace(
        "</definitions>",
        &format!(
            "{}</definitions>",
            two[start..end].replace("&quot;VALID&quot;<", "&quot;WARNING&quot;<")
        ),
    );
    let problem = Decision::compile(&xml, "t", None, VARIABLES)
        .unwrap_err()
        .to_string();
    assert!(problem.contains("say which one decides"), "{problem}");
    for name in ["Other", "other", "Table"] {
        assert!(
            Decision::compile(&xml, "t", Some(name), VARIABLES).is_ok(),
            "{name}"
        );
    }
}

#[test]
fn what_one_record_costs_is_not_held_against_the_next() {
    let table = TableFile::deciding("FIRST")
        .input("count(for i in 1..1000 return i): number")
        .verdict("1000", "VALID")
        .verdict("-", "INVALID");
    let decision = Decision::compile(&table.xml(), "t", None, VARIABLES).unwrap();
    let variables = [Cell::Null, Cell::Null, Cell::Null, Cell::Null, Cell::Null];
    let mut scratch = Scratch::default();
    for record in 0..300 {
        let verdict = decision.decide(&variables, &mut scratch);
        assert_eq!(verdict.validation, Validation::Valid, "record {record}");
    }
}

#[test]
fn types_of_the_files_own_bring_their_allowed_values() {
    let xml = TableFile::deciding("FIRST")
        .input("qualityScore: tScore")
        .input("recordType: tKind")
        .rule("> 50 | \"lead\" => \"VALID\" | \"PROCESS\"")
        .rule("- | - => \"INVALID\" | \"REJECT\"")
        .xml()
        .replace(
            "<decision ",
            "<itemDefinition name=\"tScore\"><typeRef>number</typeRef><allowedValues><text>[0..100]</text></allowedValues></itemDefinition><itemDefinition name=\"tKind\"><typeRef>string</typeRef><allowedValues><text>\"lead\", \"partner\"</text></allowedValues></itemDefinition><decision ",
        );
    let decision = Decision::compile(&xml, "t", None, VARIABLES).unwrap();
    let mut scratch = Scratch::default();
    for (score, kind, class) in [
        ("60", "lead", "decided"),
        ("101", "lead", "value_not_allowed"),
        ("60", "martian", "value_not_allowed"),
    ] {
        let variables = [
            Cell::Null,
            Cell::Null,
            Cell::Text(kind.into()),
            decimal(score),
            Cell::Null,
        ];
        assert_eq!(
            decision.decide(&variables, &mut scratch).class,
            class,
            "{score} {kind}"
        );
    }
}

#[test]
fn priorities_go_output_by_output() {
    let table = TableFile::new("OUTPUT ORDER")
        .input("x: number")
        .output("risk", "\"high\", \"low\"")
        .output("speed", "\"fast\", \"slow\"")
        .rule("- => \"low\" | \"fast\"")
        .rule("- => \"high\" | \"slow\"")
        .rule("- => \"high\" | \"fast\"");
    assert_eq!(
        result(&table.xml(), "1"),
        "[{risk: \"high\", speed: \"fast\"}, {risk: \"high\", speed: \"slow\"}, {risk: \"low\", speed: \"fast\"}]"
    );
}

#[test]
fn empty_aggregations_are_zero_or_null() {
    for (hit, expected) in [
        ("C+", "null"),
        ("C#", "0"),
        ("C<", "null"),
        ("C>", "null"),
        ("C", "null"),
    ] {
        assert_eq!(result(&points(hit).xml(), "-1"), expected, "{hit}");
    }
}
