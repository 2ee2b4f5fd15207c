//! Malicious and damaged decision files: each is refused at once, with the place and what was expected.

use std::time::{Duration, Instant};

use datasync::decision::{Decision, lint};

use super::build::TableFile;
use super::{SHIPPED, VARIABLES};

fn refused(xml: &str) -> String {
    let started = Instant::now();
    let problems = Decision::compile(xml, "t.dmn.xml", None, VARIABLES)
        .unwrap_err()
        .to_string();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "took {:?} to refuse: {problems}",
        started.elapsed()
    );
    // The lint reads the same files and must survive them, too.
    drop(lint(xml, "t.dmn.xml", None, VARIABLES));
    problems
}

fn cell(text: &str) -> String {
    TableFile::deciding("FIRST")
        .input("qualityScore: number")
        .rule("CELL => \"VALID\" | \"PROCESS\"")
        .xml()
        .replace("CELL", &super::build::escaped(text))
}

#[test]
fn a_doctype_and_entities_are_refused_and_never_resolved() {
    let xml = SHIPPED.replace(
        "<definitions",
        "<!DOCTYPE definitions [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\n<definitions",
    );
    assert!(refused(&xml).contains("DOCTYPE"));
    let xml = SHIPPED.replace("A required field", "&x; A required field");
    let problem = refused(&xml);
    assert!(
        problem.contains("`&x;`") && problem.starts_with("t.dmn.xml:"),
        "{problem}"
    );
}

#[test]
fn files_that_are_cut_short_or_have_two_roots_are_refused() {
    let half = &SHIPPED[..SHIPPED.len() / 2];
    assert!(refused(half).contains("t.dmn.xml"), "{}", refused(half));
    let unclosed = SHIPPED.replace("</definitions>", "");
    assert!(refused(&unclosed).contains("never closed"));
    let twice = format!("{SHIPPED}{}", SHIPPED.split_once("?>").unwrap().1);
    assert!(refused(&twice).contains("second root"));
    for empty in ["", "   ", "no xml at all", "<a/>", "{\"json\": true}"] {
        assert!(!refused(empty).is_empty());
    }
}

#[test]
fn twenty_thousand_levels_are_refused_everywhere() {
    let deep = 20_000;
    let xml = format!(
        "<definitions xmlns=\"https://www.omg.org/spec/DMN/20191111/MODEL/\">{}",
        "<decision>".repeat(deep)
    );
    assert!(refused(&xml).contains("nested deeper"));
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{a: ", "1", "}"),
        ("not(", "1", ")"),
        ("if true then ", "1", " else 2"),
        ("-", "1", ""),
        ("1 + ", "1", ""),
        ("1 in (", "1", ")"),
        ("a[", "1", "]"),
        ("for i in ", "[1]", " return i"),
        ("some i in ", "[1]", " satisfies true"),
        ("abs(", "1", ")"),
    ] {
        let text = format!("{}{middle}{}", open.repeat(deep), close.repeat(deep));
        let problem = refused(&cell(&text));
        assert!(
            problem.contains("rule 1 (R1)") && problem.contains("qualityScore"),
            "{open}: {problem}"
        );
    }
    let chain = format!("? > 1{}", " and ? > 1".repeat(deep / 4));
    let long = Decision::compile(&cell(&chain), "t.dmn.xml", None, VARIABLES);
    assert!(long.is_ok() || long.is_err_and(|problems| problems.to_string().contains("rule 1")));
}

#[test]
fn long_chains_and_deep_conditions_are_read_at_once() {
    // The first was found by fuzzing: the type of each level was worked out twice from the level below.
    let chain = format!("qualityScore{}", " - qualityScore / 2".repeat(200));
    let deep = format!("{}1", "if qualityScore > 1 then 2 else ".repeat(22));
    for text in [chain, deep] {
        let xml = cell(&text);
        assert!(
            Decision::compile(&xml, "t.dmn.xml", None, VARIABLES).is_ok(),
            "{text}"
        );
    }
}

#[test]
fn a_hundred_megabytes_are_refused_without_reading_them() {
    let mut xml = SHIPPED.replace("</definitions>", "<!--");
    xml.push_str(&"x".repeat(100 * 1024 * 1024));
    xml.push_str("--></definitions>");
    assert!(refused(&xml).contains("too large"));
}

#[test]
fn a_long_chain_and_a_circle_of_decisions_do_not_overflow() {
    use std::fmt::Write as _;
    let mut xml =
        String::from("<definitions xmlns=\"https://www.omg.org/spec/DMN/20191111/MODEL/\">");
    for index in 0..5_000 {
        write!(
            xml,
            "<decision id=\"d{index}\" name=\"d{index}\"><informationRequirement><requiredDecision href=\"#d{}\"/></informationRequirement><literalExpression><text>1</text></literalExpression></decision>",
            index + 1
        )
        .unwrap();
    }
    xml.push_str("<decision id=\"d5000\" name=\"d5000\"><informationRequirement><requiredDecision href=\"#d0\"/></informationRequirement><literalExpression><text>1</text></literalExpression></decision></definitions>");
    let problem = Decision::compile(&xml, "t.dmn.xml", Some("d0"), VARIABLES)
        .unwrap_err()
        .to_string();
    assert!(problem.contains("requires itself"), "{problem}");
}

#[test]
fn what_a_file_says_reaches_no_terminal_as_a_control_sequence() {
    let bell = "&#27;]0;owned&#7;";
    let table = TableFile::deciding("UNIQUE")
        .input("qualityScore: number")
        .verdict("> 5", "VALID")
        .verdict("> 6", "INVALID");
    let xml = table
        .xml()
        .replace("name=\"Table\"", &format!("name=\"{bell}\""))
        .replace("id=\"R1\"", &format!("id=\"{bell}\""));
    let lint =
        lint(&xml, "t.dmn.xml", None, VARIABLES).unwrap_or_else(|problems| panic!("{problems}"));
    let problem = refused(&xml.replace("&gt; 6", bell));
    let shown: String = lint.findings.iter().map(ToString::to_string).collect();
    for text in [&shown, &problem] {
        assert!(text.contains("owned"), "{text:?}");
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(control), "{text:?}");
    }
}

#[test]
fn other_languages_are_refused_by_name_with_the_feel_way() {
    for (text, advice) in [
        ("== 5", "`==` is JUEL, not FEEL: write `=`"),
        ("? == 5", "write `=`"),
        ("!= 5 && ? > 1", "write `and`"),
        ("not(5), 7", "`not(…)` stands alone in a cell"),
        ("? != 5 && ? > 1", "write `and`"),
        ("? > 1 || ? < 0", "write `or`"),
        ("!(? > 1)", "write `not(…)`"),
        ("${qualityScore > 5}", "write the name alone"),
        ("'text'", "double quotes"),
    ] {
        let problem = refused(&cell(text));
        assert!(problem.contains(advice), "{text}: {problem}");
        assert!(
            problem.contains("rule 1 (R1), input \"qualityScore\""),
            "{text}: {problem}"
        );
    }
    for language in ["juel", "javascript", "groovy", "http://www.java.com/java"] {
        let place = format!("expressionLanguage=\"{language}\"");
        let xml = cell("> 5").replace("<inputEntry>", &format!("<inputEntry {place}>"));
        let problem = refused(&xml);
        assert!(
            problem.contains(&format!("`{language}`"))
                && problem.contains("write it in FEEL (`=` for `==`"),
            "{problem}"
        );
        let xml = cell("> 5").replace("<definitions ", &format!("<definitions {place} "));
        assert!(
            refused(&xml).contains(&format!("`{language}`")),
            "{language}"
        );
    }
    for language in [
        "feel",
        "FEEL",
        "feel-scala-unary-tests",
        "https://www.omg.org/spec/DMN/20191111/FEEL/",
    ] {
        let xml = cell("> 5").replace(
            "<inputEntry>",
            &format!("<inputEntry expressionLanguage=\"{language}\">"),
        );
        assert!(
            Decision::compile(&xml, "t.dmn.xml", None, VARIABLES).is_ok(),
            "{language}"
        );
    }
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let table = TableFile::deciding("UNIQUE")
        .input("qualtyScore: number")
        .input("recordType: sting")
        .rule("> 80 | \"lead => \"VALID\" | \"PROCESS\"")
        .rule("> | - => \"VALID\" | \"PROCESS\"")
        .rule("upercase(?) | - => \"VALID\" | \"PROCESS\"");
    let text = refused(&table.xml());
    for part in [
        "`qualityScore`",
        "there is no type `sting`: expected string",
        "rule 1 (R1), input \"recordType\", `\"lead`: this text has no closing quote",
        "rule 2 (R2), input \"qualtyScore\", `>`: expected a value, found the end",
        "there is no function `upercase`; did you mean `upper case`?",
    ] {
        assert!(text.contains(part), "missing {part:?} in:\n{text}");
    }
    assert_eq!(text.lines().count(), 5, "{text}");
}

#[test]
fn a_deciding_table_must_decide() {
    let table = TableFile::new("UNIQUE")
        .input("qualityScore: number")
        .output("verdict: string", "")
        .rule("- => \"VALID\"");
    assert!(refused(&table.xml()).contains("no decision has an output `validationResult`"));
    let table = TableFile::new("UNIQUE")
        .input("qualityScore: number")
        .output("validationResult: string", "")
        .rule("- => \"VALID\"");
    assert!(refused(&table.xml()).contains("no output `action`"));
    let table = TableFile::deciding("RULE ORDER")
        .input("qualityScore: number")
        .verdict("-", "VALID");
    assert!(refused(&table.xml()).contains("one verdict"));
    let table = TableFile::deciding("UNIQ")
        .input("qualityScore: number")
        .verdict("-", "VALID");
    assert!(refused(&table.xml()).contains("no hit policy `UNIQ`"));
    let xml = TableFile::deciding("UNIQUE")
        .input("qualityScore: number")
        .verdict("-", "VALID")
        .xml();
    let problem = Decision::compile(&xml, "t.dmn.xml", Some("Tabel"), VARIABLES)
        .unwrap_err()
        .to_string();
    assert!(problem.contains("\"Table\""), "{problem}");
}
