//! Tests of a case: its occurrences, its plan, and when it is over.
#![allow(clippy::unwrap_used)]

use super::*;

fn fault() -> Fault {
    Fault {
        cause: Cause::api("timeout"),
        exit_code: 3,
        sentence: "page 7 was not answered within 30 s".into(),
        transient: true,
        scope: None,
        records: Vec::new(),
    }
}

#[test]
fn the_same_run_is_counted_once_and_another_is_added() {
    let mut case = Case::open(&fault(), "run-1", Evidence::default());
    case.add_occurrence(&fault(), "run-1", Evidence::default());
    assert_eq!(case.count, 1);
    case.add_occurrence(&fault(), "run-2", Evidence::default());
    assert_eq!(case.count, 2);
    let mut copy = case.clone();
    copy.add_occurrence(&fault(), "run-3", Evidence::default());
    case.merge(&copy);
    case.merge(&copy);
    assert_eq!(case.count, 3);
}

#[test]
fn the_plan_leads_from_investigate_over_resolve_to_retry_and_back() {
    let mut case = Case::open(&fault(), "run-1", Evidence::default());
    assert!(
        case.next_command().contains("complete"),
        "{}",
        case.next_command()
    );
    case.complete(
        Step::Investigate,
        "operator",
        Some("the VPN was down".into()),
    )
    .unwrap();
    assert_eq!(case.item(Step::Resolve).state, State::Active);
    case.complete(Step::Resolve, "operator", None).unwrap();
    assert_eq!(case.item(Step::Retry).state, State::Active);
    case.retry_failed("datasync", "still no answer");
    assert_eq!(case.item(Step::Resolve).state, State::Active);
    case.close(Closing::Resolved, "datasync", "12 records written");
    assert!(!case.is_open());
    assert_eq!(case.item(Step::Retry).state, State::Completed);
    assert!(case.complete(Step::Resolve, "operator", None).is_err());
}

#[test]
fn human_steps_that_are_not_completed_become_skipped() {
    let mut case = Case::open(&fault(), "run-1", Evidence::default());
    case.close(Closing::Recovered, "datasync", "a later run succeeded");
    assert_eq!(case.item(Step::Investigate).state, State::Skipped);
    assert_eq!(case.item(Step::Resolve).state, State::Skipped);
}

#[test]
fn a_case_is_over_when_every_scope_it_was_met_in_has_succeeded() {
    let scope = |target: &str, shard: &str| Scope {
        target: target.to_owned(),
        shard: (!shard.is_empty()).then(|| shard.to_owned()),
    };
    let met = |scopes: &[Scope]| {
        let mut case = Case::open(&fault(), "run-1", Evidence::default());
        for (i, scope) in scopes.iter().enumerate() {
            let fault = Fault {
                scope: Some(scope.clone()),
                ..fault()
            };
            case.add_occurrence(&fault, &format!("run-1{i}"), Evidence::default());
        }
        case
    };
    let (one, two, whole) = (scope("a.t", "1/2"), scope("a.t", "2/2"), scope("a.t", ""));
    let other = scope("b.t", "");

    let mut case = met(&[one.clone(), two.clone(), one.clone()]);
    assert!(!case.is_over(&other) && case.scopes.len() == 2);
    assert!(
        !case.is_over(&one),
        "the other shard has not been seen to be well"
    );
    assert!(case.is_over(&two));

    assert!(met(&[one.clone(), two.clone()]).is_over(&whole));
    assert!(met(std::slice::from_ref(&whole)).is_over(&one));
    assert!(!met(&[one, other.clone()]).is_over(&whole));
    assert!(
        met(&[]).is_over(&whole),
        "a case of an older version, which names no scope"
    );
    assert!(met(&[]).concerns("a.t"));
    assert!(!met(&[other]).concerns("a.t"));
}
