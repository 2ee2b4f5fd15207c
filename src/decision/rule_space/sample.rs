//! Example values of segments, and sets of segments written as a cell.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::Dimension;
use crate::decision::bits::{Bits, SetOperations as _};
use crate::decision::feel::temporal::{self, DateTime, Zone};
use crate::decision::feel::value::{Kind, Value};

impl Dimension {
    /// A value of the segment that records can bring, as plain as can be; none when there is no such value.
    pub fn sample(&self, segment: usize) -> Option<Value> {
        if segment == self.null() {
            return self.values.allow(&Value::Null).then_some(Value::Null);
        }
        let within = |value: &Value| self.segment_of(value) == Some(segment);
        let plain = self.plain_sample(segment)?;
        if self.kind == Kind::Any || self.values.allow(&plain) {
            return Some(plain);
        }
        if segment % 2 == 1 {
            return None;
        }
        let end = |index: Option<usize>| match index.and_then(|index| self.points.get(index)) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        };
        let low = end((segment / 2).checked_sub(1));
        let high = end(Some(segment / 2));
        let whole = [
            low.and_then(|low| low.floor().checked_add(Decimal::ONE)),
            high.and_then(|high| high.ceil().checked_sub(Decimal::ONE)),
        ];
        let whole = whole.into_iter().flatten().map(Value::Number);
        let others = (self.kind == Kind::Text).then(|| self.texts(segment));
        whole
            .chain(self.values.candidates())
            .chain(others.into_iter().flatten())
            .find(|value| within(value) && self.values.allow(value))
    }

    /// A value of the segment, whatever records can bring; none when the segment holds no value.
    pub fn plain_sample(&self, segment: usize) -> Option<Value> {
        if segment == self.null() {
            return Some(Value::Null);
        }
        if segment % 2 == 1 {
            return self.points.get(segment / 2).cloned();
        }
        let low = (segment / 2)
            .checked_sub(1)
            .and_then(|index| self.points.get(index));
        let high = self.points.get(segment / 2);
        match self.kind {
            Kind::Number => number_between(low, high).map(Value::Number),
            Kind::Text => self.texts(segment).next(),
            Kind::Date => {
                let days = |value: Option<&Value>| match value {
                    Some(Value::Date(date)) => Some(i128::from(temporal::days_of_date(*date))),
                    _ => None,
                };
                let day = whole_between(days(low), days(high), 20_454)?;
                temporal::date_of_days(i32::try_from(day).ok()?).map(Value::Date)
            }
            Kind::DateTime => {
                let instant = |value: Option<&Value>| match value {
                    Some(Value::DateTime(moment)) => Some(moment.instant()),
                    _ => None,
                };
                let at = stepped_between(
                    instant(low),
                    instant(high),
                    1_767_225_600_000_000_000,
                    &[86_400_000_000_000, 1_000_000_000, 1_000],
                )?;
                DateTime {
                    local: jiff::civil::date(1970, 1, 1).to_datetime(jiff::civil::Time::midnight()),
                    zone: Zone::Offset(0),
                }
                .plus(at)
                .map(Value::DateTime)
            }
            Kind::Time => {
                let Some(Value::Time(end)) = low.or(high) else {
                    return None;
                };
                let step = if low.is_some() {
                    1_000_000_000
                } else {
                    -1_000_000_000
                };
                let value = Value::Time(end.plus(step));
                (self.segment_of(&value) == Some(segment)).then_some(value)
            }
            Kind::Duration => {
                let nanos = |value: Option<&Value>| match value {
                    Some(Value::Duration(nanos)) => Some(*nanos),
                    _ => None,
                };
                stepped_between(
                    nanos(low),
                    nanos(high),
                    0,
                    &[86_400_000_000_000, 1_000_000_000],
                )
                .map(Value::Duration)
            }
            Kind::Months => {
                let months = |value: Option<&Value>| match value {
                    Some(Value::Months(months)) => Some(i128::from(*months)),
                    _ => None,
                };
                let months = whole_between(months(low), months(high), 0)?;
                i64::try_from(months).ok().map(Value::Months)
            }
            // Nothing is known of the column's values, and no cell asks.
            Kind::Any => Some(Value::text("anything")),
            _ => None,
        }
    }

    /// A plain value of the segment on the side of the given value.
    pub fn nearest_in(&self, segment: usize, from: &Value) -> Option<Value> {
        let (Kind::Number, Value::Number(from), 0) = (self.kind, from, segment % 2) else {
            return self.sample(segment);
        };
        let point = |index: usize| match self.points.get(index) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        };
        let low = (segment / 2).checked_sub(1).and_then(point);
        let high = point(segment / 2);
        // One whole step inside the end that is nearer, if that is still inside.
        let near = match (low, high) {
            (Some(low), _) if *from <= low => low.floor().checked_add(Decimal::ONE),
            (_, Some(high)) if *from >= high => high.ceil().checked_sub(Decimal::ONE),
            _ => None,
        };
        near.map(Value::Number)
            .filter(|value| self.segment_of(value) == Some(segment) && self.values.allow(value))
            .or_else(|| self.sample(segment))
    }

    /// The set as a person would write it in a cell.
    pub fn text_of(&self, set: &Bits) -> String {
        let wanted = set.and(&self.possible);
        if wanted == self.possible {
            return "-".to_owned();
        }
        let mut parts = Vec::new();
        let mut segment = 0;
        while segment < self.null() {
            if !wanted.contains(segment) {
                segment += 1;
                continue;
            }
            let start = segment;
            // Segments without values do not interrupt a stretch.
            while segment < self.null()
                && (wanted.contains(segment) || !self.possible.contains(segment))
            {
                segment += 1;
            }
            let mut end = segment - 1;
            while !wanted.contains(end) {
                end -= 1;
            }
            if self.kind == Kind::Boolean {
                for point in (start..=end).filter(|segment| wanted.contains(*segment)) {
                    parts.push(self.points[point / 2].literal());
                }
                continue;
            }
            parts.push(self.stretch(start, end));
        }
        if wanted.contains(self.null()) {
            parts.push("null".to_owned());
        }
        parts.join(", ")
    }

    pub(super) fn stretch(&self, start: usize, end: usize) -> String {
        if start == end && start % 2 == 1 {
            return self.points[start / 2].literal();
        }
        let low = if start % 2 == 1 {
            Some(("[", start / 2))
        } else {
            (start / 2).checked_sub(1).map(|point| ("(", point))
        };
        let high = if end % 2 == 1 {
            Some(("]", end / 2))
        } else {
            (end / 2 < self.points.len()).then_some((")", end / 2))
        };
        let point = |index: usize| self.points[index].literal();
        match (low, high) {
            (Some((open, low)), Some((close, high))) => {
                format!("{open}{}..{}{close}", point(low), point(high))
            }
            (Some(("[", low)), None) => format!(">= {}", point(low)),
            (Some((_, low)), None) => format!("> {}", point(low)),
            (None, Some(("]", high))) => format!("<= {}", point(high)),
            (None, Some((_, high))) => format!("< {}", point(high)),
            (None, None) => "not(null)".to_owned(),
        }
    }
}

/// A plain number strictly between two, with as few digits as possible.
fn number_between(low: Option<&Value>, high: Option<&Value>) -> Option<Decimal> {
    let number = |value: Option<&Value>| match value {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    match (number(low), number(high)) {
        (None, None) => Some(Decimal::ZERO),
        (Some(low), None) => low.floor().checked_add(Decimal::ONE),
        (None, Some(high)) => high.ceil().checked_sub(Decimal::ONE),
        (Some(low), Some(high)) => {
            for digits in 0..=27 {
                let step = Decimal::new(1, digits);
                let next = low.round_dp_with_strategy(
                    digits,
                    rust_decimal::RoundingStrategy::ToNegativeInfinity,
                );
                let next = next.checked_add(step)?;
                if next > low && next < high {
                    // In the middle of a wide stretch rather than at its edge, where that is as plain.
                    let middle = low
                        .checked_add(high)?
                        .checked_div(Decimal::TWO)?
                        .round_dp(digits);
                    return Some(if middle > low && middle < high {
                        middle
                    } else {
                        next
                    });
                }
            }
            None
        }
    }
}

impl Dimension {
    /// Texts of an open stretch, the more readable ones first.
    fn texts(&self, segment: usize) -> impl Iterator<Item = Value> {
        let text = |index: Option<usize>| match index.and_then(|index| self.points.get(index)) {
            Some(Value::Text(text)) => Some(Arc::clone(text)),
            _ => None,
        };
        let low = text((segment / 2).checked_sub(1));
        let high = text(Some(segment / 2));
        let behind = low.as_ref().map(|low| format!("{low}a"));
        let closer = low.as_ref().map(|low| format!("{low} "));
        let fits = move |candidate: &String| {
            low.as_ref().is_none_or(|low| candidate.as_str() > &**low)
                && high
                    .as_ref()
                    .is_none_or(|high| candidate.as_str() < &**high)
        };
        [
            "other",
            "something else",
            "another",
            "unknown",
            "x",
            "A",
            "0",
        ]
        .into_iter()
        .map(str::to_owned)
        .chain(behind)
        .chain(closer)
        .chain(["!".to_owned(), String::new()])
        .filter(fits)
        .map(|candidate| Value::text(&candidate))
    }
}

fn whole_between(low: Option<i128>, high: Option<i128>, free: i128) -> Option<i128> {
    stepped_between(low, high, free, &[1])
}

/// A number strictly between two, a large step from an end rather than a small one.
fn stepped_between(
    low: Option<i128>,
    high: Option<i128>,
    free: i128,
    steps: &[i128],
) -> Option<i128> {
    match (low, high) {
        (None, None) => Some(free),
        (Some(low), None) => low.checked_add(*steps.first()?),
        (None, Some(high)) => high.checked_sub(*steps.first()?),
        (Some(low), Some(high)) => steps
            .iter()
            .map(|step| low + step)
            .find(|value| *value < high),
    }
}
