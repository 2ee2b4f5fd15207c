//! The rule index: finds the matching rule by one binary search for each input and one AND of bit sets, without allocation.
//!
//! Built for a deciding table whose inputs are input variables and whose cells compare with constants. It answers only
//! where one rule gives the verdict. Every other case (no rule, several, a wrong type) is left to the table itself.

use rust_decimal::Decimal;

use super::bits::{Bits, SetOperations as _};
use super::feel::ast::Expr;
use super::feel::eval::Frame;
use super::feel::value::{Kind, Value};
use super::rule_space::{Dimension, RuleSpace};
use super::table::{HitPolicy, Table};
use super::verdict::{self, Rules, Verdict};
use crate::model::record::{Action, Cell, Validation};

/// Largest index that is built, in words of 8 bytes.
const MAX_WORDS: usize = 4 * 1024 * 1024;
/// Most decimal places of a number in a cell.
const MAX_SCALE: u32 = 12;
/// Decimal places that a record's number may have without costing a division.
const SPARE_SCALE: u32 = 4;
/// Most input columns an index takes.
const MAX_COLUMNS: usize = 32;

/// The index of one table.
#[derive(Debug)]
pub struct Index {
    words: usize,
    /// The bits of the last word that stand for rules.
    last_word: u64,
    columns: Vec<IndexColumn>,
    ready: Vec<ReadyVerdict>,
    hit: HitPolicy,
    /// By rule: its place in the order of priorities.
    ranks: Vec<usize>,
}

/// The verdict of a rule, computed when the index is built.
#[derive(Debug)]
struct ReadyVerdict {
    validation: Validation,
    action: Action,
    reason: Box<str>,
    id: Box<str>,
}

#[derive(Debug)]
struct IndexColumn {
    variable: usize,
    search: Search,
    null: usize,
    /// Does every rule accept every value? Then only the type of the value is checked.
    neutral: bool,
    /// By segment, `words` words each: the rules whose cell accepts it. Segments that are not allowed have none.
    rules: Vec<u64>,
}

/// How the segment of a cell is found.
#[derive(Debug)]
enum Search {
    /// No rule tests the value.
    Any,
    Boolean,
    /// Points times ten to the scale, as whole numbers.
    Number(u32, Vec<i64>),
    Text(Vec<Box<str>>),
    /// Text that cells only compare for equality: all other texts match the same rules.
    Names(TextTable),
    /// Days.
    Date(Vec<i64>),
    /// Microseconds.
    DateTime(Vec<i64>),
}

impl IndexColumn {
    fn of(
        variable: usize,
        dimension: &Dimension,
        cells: &[Option<Bits>],
        words: usize,
    ) -> Option<Self> {
        let mut rules = vec![0_u64; dimension.segments() * words];
        for (rule, cell) in cells.iter().enumerate() {
            for segment in cell.as_ref()?.and(&dimension.live).ones() {
                rules[segment * words + rule / 64] |= 1 << (rule % 64);
            }
        }
        let mut search = Search::of(dimension.kind, &dimension.points)?;
        if let Search::Text(points) = &search {
            let row = |segment: usize| &rules[segment * words..(segment + 1) * words];
            // No text lies before "": a stretch without values does not count.
            let alike = (0..=points.len())
                .map(|gap| 2 * gap)
                .filter(|segment| dimension.plain_sample(*segment).is_some())
                .all(|segment| row(segment) == row(2 * points.len()));
            if alike {
                search = Search::Names(TextTable::of(points));
            }
        }
        let neutral = (0..dimension.segments()).all(|segment| {
            (0..cells.len())
                .all(|rule| rules[segment * words + rule / 64] & (1 << (rule % 64)) != 0)
        });
        Some(Self {
            variable,
            search,
            null: dimension.null(),
            neutral,
            rules,
        })
    }
}

/// By rule: its place in the order of priority.
fn ranks(table: &Table) -> Vec<usize> {
    let mut order = table.by_priority(
        &(0..table.rules.len()).collect::<Vec<_>>(),
        &mut Frame::default(),
    );
    if table.hit != HitPolicy::Priority {
        order.sort_unstable();
    }
    let mut ranks = vec![0; order.len()];
    for (rank, rule) in order.iter().enumerate() {
        ranks[*rule] = rank;
    }
    ranks
}

impl Index {
    /// Builds it, where the table allows.
    pub fn of(table: &Table, variables: usize) -> Option<Self> {
        if !table.hit.is_single() || table.inputs.len() > MAX_COLUMNS || table.rules.is_empty() {
            return None;
        }
        let words = table.rules.len().div_ceil(64);
        let ready = ready(table)?;
        let rule_space = RuleSpace::of(table);
        let mut columns = Vec::new();
        let mut total = 0;
        for (column, (dimension, cells)) in table
            .inputs
            .iter()
            .zip(rule_space.dimensions.iter().zip(&rule_space.cells))
        {
            let (Expr::Slot(variable), Some(dimension)) = (&column.expr, dimension) else {
                return None;
            };
            if *variable >= variables {
                return None;
            }
            total += dimension.segments() * words;
            if total > MAX_WORDS {
                return None;
            }
            columns.push(IndexColumn::of(*variable, dimension, cells, words)?);
        }
        let rest = table.rules.len() % 64;
        Some(Self {
            words,
            last_word: if rest == 0 { u64::MAX } else { (1 << rest) - 1 },
            columns,
            ready,
            hit: table.hit,
            ranks: ranks(table),
        })
    }

    /// The verdict, when one rule gives it.
    pub fn decide(&self, variables: &[Cell<'_>]) -> Option<Verdict<'_>> {
        let ready = &self.ready[self.rule(variables)?];
        Some(Verdict {
            validation: ready.validation,
            action: ready.action,
            class: verdict::DECIDED,
            reason: std::borrow::Cow::Borrowed(&ready.reason),
            rules: Rules::One(&ready.id),
        })
    }

    fn rule(&self, variables: &[Cell<'_>]) -> Option<usize> {
        if self.words == 1 {
            let mut matched = self.last_word;
            for column in &self.columns {
                matched &= column.rules[column.segment(variables.get(column.variable)?)?];
            }
            let mut found = None;
            return self.choose(0, matched, &mut found).unwrap_or(found);
        }
        let mut starts = [(0_usize, 0_usize); MAX_COLUMNS];
        let mut used = 0;
        for (index, column) in self.columns.iter().enumerate() {
            let segment = column.segment(variables.get(column.variable)?)?;
            if !column.neutral {
                starts[used] = (index, segment * self.words);
                used += 1;
            }
        }
        let mut found: Option<usize> = None;
        for word in 0..self.words {
            let mut matched = if word + 1 == self.words {
                self.last_word
            } else {
                u64::MAX
            };
            for (column, start) in &starts[..used] {
                matched &= self.columns[*column].rules[start + word];
            }
            if let Some(chosen) = self.choose(word, matched, &mut found) {
                return chosen;
            }
        }
        found
    }

    /// Looks at the rules of one word that match. `Some(…)` ends the search: with the rule, or without one, which leaves the
    /// record to the table.
    #[expect(
        clippy::option_option,
        reason = "whether the search ends, and with which rule"
    )]
    fn choose(
        &self,
        word: usize,
        mut matched: u64,
        found: &mut Option<usize>,
    ) -> Option<Option<usize>> {
        while matched != 0 {
            let rule = word * 64 + matched.trailing_zeros() as usize;
            matched &= matched - 1;
            match (self.hit, *found) {
                (HitPolicy::First, None) => return Some(Some(rule)),
                (_, None) => *found = Some(rule),
                (HitPolicy::Priority, Some(best)) => {
                    if self.ranks[rule] < self.ranks[best] {
                        *found = Some(rule);
                    }
                }
                _ => return Some(None),
            }
        }
        None
    }
}

impl IndexColumn {
    fn segment(&self, cell: &Cell<'_>) -> Option<usize> {
        if matches!(cell, Cell::Null) {
            return Some(self.null);
        }
        match (&self.search, cell) {
            (Search::Any, _) => Some(0),
            (Search::Boolean, Cell::Boolean(truth)) => Some(if *truth { 3 } else { 1 }),
            (Search::Names(names), Cell::Text(text)) => Some(names.segment(text)),
            (Search::Text(points), Cell::Text(text)) => {
                let text: &str = text;
                Some(match points.binary_search_by(|point| (**point).cmp(text)) {
                    Ok(index) => 2 * index + 1,
                    Err(index) => 2 * index,
                })
            }
            (Search::Number(scale, points), Cell::Decimal(number)) => {
                let (whole, exact) = scaled(*number, *scale);
                Some(position(points, whole, exact))
            }
            (Search::Number(scale, points), Cell::Integer(number)) => {
                let whole = number.saturating_mul(10_i64.pow(*scale));
                Some(position(points, whole, true))
            }
            (Search::Date(points), Cell::Date(days)) => {
                Some(position(points, i64::from(*days), true))
            }
            (Search::DateTime(points), Cell::DateTime(micros)) => {
                Some(position(points, *micros, true))
            }
            _ => None,
        }
    }
}

impl Search {
    fn of(kind: Kind, points: &[Value]) -> Option<Self> {
        match kind {
            Kind::Any => Some(Self::Any),
            Kind::Boolean => Some(Self::Boolean),
            Kind::Text => points
                .iter()
                .map(|point| match point {
                    Value::Text(text) => Some(Box::from(&**text)),
                    _ => None,
                })
                .collect::<Option<_>>()
                .map(Self::Text),
            Kind::Number => {
                let numbers: Vec<Decimal> = points
                    .iter()
                    .map(|point| match point {
                        Value::Number(number) => Some(number.normalize()),
                        _ => None,
                    })
                    .collect::<Option<_>>()?;
                let needed = numbers.iter().map(Decimal::scale).max().unwrap_or(0);
                if needed > MAX_SCALE {
                    return None;
                }
                // A few digits more than the points have: then most records need no division.
                [needed.max(SPARE_SCALE), needed]
                    .into_iter()
                    .find_map(|scale| {
                        numbers
                            .iter()
                            .map(|number| {
                                let (whole, _) = scaled(*number, scale);
                                (whole > i64::MIN && whole < i64::MAX).then_some(whole)
                            })
                            .collect::<Option<_>>()
                            .map(|keys| Self::Number(scale, keys))
                    })
            }
            Kind::Date => points
                .iter()
                .map(|point| match point {
                    Value::Date(date) => {
                        Some(i64::from(super::feel::temporal::days_of_date(*date)))
                    }
                    _ => None,
                })
                .collect::<Option<_>>()
                .map(Self::Date),
            Kind::DateTime => points
                .iter()
                .map(|point| match point {
                    Value::DateTime(moment) if moment.instant() % 1000 == 0 => {
                        i64::try_from(moment.instant() / 1000).ok()
                    }
                    _ => None,
                })
                .collect::<Option<_>>()
                .map(Self::DateTime),
            _ => None,
        }
    }
}

/// The segment of a number that is `whole`, or lies between `whole` and the next.
fn position(points: &[i64], whole: i64, exact: bool) -> usize {
    let before = if points.len() <= 8 {
        // Counting smaller points is faster than a search with branches.
        points.iter().map(|point| usize::from(*point < whole)).sum()
    } else {
        points.partition_point(|point| *point < whole)
    };
    if points.get(before) == Some(&whole) {
        // On the point, or in the stretch behind it.
        2 * before + if exact { 1 } else { 2 }
    } else {
        2 * before
    }
}

/// A number times ten to the scale: rounded down, and whether that is exact. What is too large for 64 bits becomes the
/// largest or smallest of them, which lies beyond all points.
fn scaled(number: Decimal, scale: u32) -> (i64, bool) {
    let mantissa = number.mantissa();
    let own = number.scale();
    if own <= scale {
        let unit = 10_i64.pow(scale - own);
        return match i64::try_from(mantissa) {
            Ok(digits) => (digits.saturating_mul(unit), true),
            Err(_) => (if mantissa < 0 { i64::MIN } else { i64::MAX }, true),
        };
    }
    let unit = 10_i128.pow(own - scale);
    let whole = mantissa.div_euclid(unit);
    let exact = whole * unit == mantissa;
    match i64::try_from(whole) {
        Ok(whole) => (whole, exact),
        Err(_) => (if mantissa < 0 { i64::MIN } else { i64::MAX }, exact),
    }
}

/// Texts to be found by equality: a hash table without removal, at most half full.
#[derive(Debug)]
struct TextTable {
    /// Segment and text; a power of two of places.
    places: Vec<Option<(usize, Box<str>)>>,
    /// The segment of all other texts.
    other: usize,
}

impl TextTable {
    fn of(points: &[Box<str>]) -> Self {
        let size = (2 * points.len() + 1).next_power_of_two();
        let mut names = Self {
            places: vec![None; size],
            other: 2 * points.len(),
        };
        for (index, point) in points.iter().enumerate() {
            let mut place = Self::hash(point) & (size - 1);
            while names.places[place].is_some() {
                place = (place + 1) & (size - 1);
            }
            names.places[place] = Some((2 * index + 1, point.clone()));
        }
        names
    }

    fn segment(&self, text: &str) -> usize {
        let mask = self.places.len() - 1;
        let mut place = Self::hash(text) & mask;
        while let Some((segment, known)) = &self.places[place] {
            if **known == *text {
                return *segment;
            }
            place = (place + 1) & mask;
        }
        self.other
    }

    /// Of the first and last eight bytes and the length: enough for names. Records cannot make it slow, since only the
    /// table's own texts are in it.
    fn hash(text: &str) -> usize {
        const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
        let bytes = text.as_bytes();
        let word = |part: &[u8]| {
            let mut eight = [0; 8];
            let length = part.len().min(8);
            eight[..length].copy_from_slice(&part[..length]);
            u64::from_le_bytes(eight)
        };
        let first = word(bytes);
        let last = word(&bytes[bytes.len().saturating_sub(8)..]);
        let mixed = (first ^ (bytes.len() as u64)).wrapping_mul(FACTOR) ^ last;
        // The upper bits of the product are the mixed ones.
        usize::try_from(mixed.wrapping_mul(FACTOR) >> 40).unwrap_or(0)
    }
}

/// The verdicts of all rules; none when one of them must be computed.
fn ready(table: &Table) -> Option<Vec<ReadyVerdict>> {
    let mut frame = Frame::default();
    table
        .rules
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            if !rule
                .outputs
                .iter()
                .all(|output| matches!(output, Expr::Const(_)))
            {
                return None;
            }
            let result = table.result(index, &mut frame);
            let verdict = verdict::read(&result, rule.note.as_deref(), Rules::One(&rule.id));
            (verdict.class == verdict::DECIDED).then(|| ReadyVerdict {
                validation: verdict.validation,
                action: verdict.action,
                reason: verdict.reason.into(),
                id: rule.id.clone(),
            })
        })
        .collect()
}
