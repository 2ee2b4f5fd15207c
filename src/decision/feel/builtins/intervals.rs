//! How points and intervals lie to one another: `before`, `meets`, `overlaps` and the others of the standard, as chapter 10.3.4.9
//! of DMN 1.5 defines them. Null where an argument is neither, has no end, or is not comparable.

use std::cmp::Ordering;

use super::single;
use crate::decision::feel::ast::Comparison;
use crate::decision::feel::eval::compare;
use crate::decision::feel::value::{Range, Value, order};

/// A closed or open end of an interval.
#[derive(Clone, Copy)]
struct End<'v> {
    at: &'v Value,
    included: bool,
}

/// A point, or an interval with both ends.
struct PointOrInterval<'v> {
    low: End<'v>,
    high: End<'v>,
    is_point: bool,
}

impl<'v> PointOrInterval<'v> {
    fn of(value: &'v Value) -> Option<Self> {
        match single(value) {
            Value::Range(range) => {
                let Range {
                    low,
                    low_included,
                    high,
                    high_included,
                } = &**range;
                (!low.is_null() && !high.is_null()).then_some(Self {
                    low: End {
                        at: low,
                        included: *low_included,
                    },
                    high: End {
                        at: high,
                        included: *high_included,
                    },
                    is_point: false,
                })
            }
            point if point.kind().is_ordered() => {
                let end = End {
                    at: point,
                    included: true,
                };
                Some(Self {
                    low: end,
                    high: end,
                    is_point: true,
                })
            }
            _ => None,
        }
    }
}

/// Two stretches, and whether the arguments may be a point: the first one, the second one.
fn related(
    arguments: &[Value],
    points: (bool, bool),
    holds: fn(&PointOrInterval<'_>, &PointOrInterval<'_>) -> Option<bool>,
) -> Value {
    let (Some(first), Some(second)) = (
        PointOrInterval::of(&arguments[0]),
        PointOrInterval::of(&arguments[1]),
    ) else {
        return Value::Null;
    };
    if (first.is_point && !points.0) || (second.is_point && !points.1) {
        return Value::Null;
    }
    Value::from_truth(holds(&first, &second))
}

fn less(a: End<'_>, b: End<'_>) -> Option<bool> {
    compare(Comparison::Less, a.at, b.at)
}

fn equal(a: End<'_>, b: End<'_>) -> Option<bool> {
    Some(order(a.at, b.at)? == Ordering::Equal)
}

/// Does the first end wholly before the second begins?
fn is_before(a: &PointOrInterval<'_>, b: &PointOrInterval<'_>) -> Option<bool> {
    let touches = equal(a.high, b.low)? && a.high.included && b.low.included;
    Some((less(a.high, b.low)? || equal(a.high, b.low)?) && !touches)
}

fn do_meet(a: &PointOrInterval<'_>, b: &PointOrInterval<'_>) -> Option<bool> {
    Some(a.high.included && b.low.included && equal(a.high, b.low)?)
}

/// Is there a point in both?
fn do_overlap(a: &PointOrInterval<'_>, b: &PointOrInterval<'_>) -> Option<bool> {
    Some(!is_before(a, b)? && !is_before(b, a)?)
}

/// Does the first begin no later, where an end that belongs begins earlier than one that does not?
fn begins_by(a: &PointOrInterval<'_>, b: &PointOrInterval<'_>) -> Option<bool> {
    Some(less(a.low, b.low)? || (equal(a.low, b.low)? && (a.low.included || !b.low.included)))
}

fn ends_by(a: &PointOrInterval<'_>, b: &PointOrInterval<'_>) -> Option<bool> {
    Some(less(a.high, b.high)? || (equal(a.high, b.high)? && (b.high.included || !a.high.included)))
}

fn begin_alike(a: &PointOrInterval<'_>, b: &PointOrInterval<'_>) -> Option<bool> {
    Some(equal(a.low, b.low)? && a.low.included == b.low.included)
}

fn end_alike(a: &PointOrInterval<'_>, b: &PointOrInterval<'_>) -> Option<bool> {
    Some(equal(a.high, b.high)? && a.high.included == b.high.included)
}

/// Does the second lie within the first?
fn does_include(a: &PointOrInterval<'_>, b: &PointOrInterval<'_>) -> Option<bool> {
    Some(begins_by(a, b)? && ends_by(b, a)?)
}

/// The first overlaps the beginning of the second, and ends within it.
fn does_overlap_before(a: &PointOrInterval<'_>, b: &PointOrInterval<'_>) -> Option<bool> {
    let earlier = begins_by(a, b)? && !begin_alike(a, b)?;
    Some(earlier && do_overlap(a, b)? && ends_by(a, b)?)
}

/// Does the second begin where the first does, within it?
fn is_started_by(a: &PointOrInterval<'_>, b: &PointOrInterval<'_>) -> Option<bool> {
    Some(begin_alike(a, b)? && ends_by(b, a)?)
}

fn is_finished_by(a: &PointOrInterval<'_>, b: &PointOrInterval<'_>) -> Option<bool> {
    Some(end_alike(a, b)? && begins_by(a, b)?)
}

pub(super) fn before(arguments: &[Value]) -> Value {
    related(arguments, (true, true), is_before)
}

pub(super) fn after(arguments: &[Value]) -> Value {
    related(arguments, (true, true), |a, b| is_before(b, a))
}

pub(super) fn meets(arguments: &[Value]) -> Value {
    related(arguments, (false, false), do_meet)
}

pub(super) fn met_by(arguments: &[Value]) -> Value {
    related(arguments, (false, false), |a, b| do_meet(b, a))
}

pub(super) fn overlaps(arguments: &[Value]) -> Value {
    related(arguments, (false, false), do_overlap)
}

pub(super) fn overlaps_before(arguments: &[Value]) -> Value {
    related(arguments, (false, false), does_overlap_before)
}

pub(super) fn overlaps_after(arguments: &[Value]) -> Value {
    related(arguments, (false, false), |a, b| does_overlap_before(b, a))
}

pub(super) fn includes(arguments: &[Value]) -> Value {
    related(arguments, (false, true), does_include)
}

pub(super) fn during(arguments: &[Value]) -> Value {
    related(arguments, (true, false), |a, b| does_include(b, a))
}

pub(super) fn starts(arguments: &[Value]) -> Value {
    related(arguments, (true, false), |a, b| is_started_by(b, a))
}

pub(super) fn started_by(arguments: &[Value]) -> Value {
    related(arguments, (false, true), is_started_by)
}

pub(super) fn finishes(arguments: &[Value]) -> Value {
    related(arguments, (true, false), |a, b| is_finished_by(b, a))
}

pub(super) fn finished_by(arguments: &[Value]) -> Value {
    related(arguments, (false, true), is_finished_by)
}

pub(super) fn coincides(arguments: &[Value]) -> Value {
    related(arguments, (true, true), |a, b| {
        Some(a.is_point == b.is_point && begin_alike(a, b)? && end_alike(a, b)?)
    })
}
