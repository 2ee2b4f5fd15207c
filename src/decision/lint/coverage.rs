//! Checks of what the rules cover together: rules that never fire, and gaps. The search goes column by column, within bounds.

use std::collections::{HashMap, HashSet};

use super::finding::Example;
use super::linter::{EVERY_RECORD, Linter, MAX_WORK};
use super::record_search::RecordSearch;
use crate::decision::bits::{Bits, SetOperations as _};
use crate::decision::feel::eval::Frame;
use crate::decision::problem::{Check, Severity};
use crate::decision::rule_space::{Dimension, RuleSpace};
use crate::decision::table::{HitPolicy, Outcome};
use crate::support::text::counted;

/// Most gaps that are listed.
const MAX_GAPS: usize = 20;

/// Most rules that are named for one that they shadow.
const MAX_NAMED: usize = 5;

/// Most input columns that are searched for gaps.
const MAX_COLUMNS: usize = 64;

/// A search for records that a set of rules does not cover. Segments that the same rules accept are searched once.
struct GapSearch {
    /// By group, then segment: the rules that accept it. Unknown cells count as accepting.
    rules: Vec<Vec<Bits>>,
    /// From this group on, the rules that accept everything.
    tails: Vec<Bits>,
    work: u64,
}

/// What a search has come to.
struct Uncovered<'w> {
    /// The region that is searched.
    within: &'w [Bits],
    /// So many parts are enough.
    most: usize,
    /// The segments that were taken, by group, on the way to where the search is.
    path: Vec<Bits>,
    /// Groups, and rules that are left at them, from which on everything is covered.
    covered: HashSet<(usize, Bits)>,
    found: Vec<Vec<Bits>>,
}

impl Linter<'_> {
    /// Finds rules that never fire: rules before them match all their records.
    pub(super) fn shadows(&mut self) {
        let Some(order) = self.firing_order() else {
            return;
        };
        let count = self.table.rules.len();
        let mut cover = GapSearch::of(&self.rule_space, count);
        let mut before = Bits::with_capacity(count);
        for rule in order {
            if self.is_enough(Check::Shadowed, Severity::Warning) {
                self.note("further shadowed rules are not searched: the list is full");
                break;
            }
            if let Some((within, rivals)) = self.shadow_over(rule, &before, &mut cover) {
                self.find_shadowed(rule, &within, &rivals);
            }
            before.insert(rule);
        }
        if cover.spent() {
            self.note("the search for shadowed rules stopped before its end");
        }
    }

    /// The rules in the order in which one goes before another; none where the table has no such order.
    fn firing_order(&self) -> Option<Vec<usize>> {
        let rules = &self.table.rules;
        let order: Vec<usize> = (0..rules.len()).collect();
        match self.table.hit {
            HitPolicy::First => Some(order),
            HitPolicy::Priority => {
                let mut outputs = rules.iter().flat_map(|rule| &rule.outputs);
                let constant = outputs.all(|output| output.constant().is_some());
                constant.then(|| self.table.by_priority(&order, &mut Frame::default()))
            }
            _ => None,
        }
    }

    /// What a rule accepts, and the rules before it that take all of that between them; none where they do not, or where that
    /// is not known.
    fn shadow_over(
        &self,
        rule: usize,
        before: &Bits,
        cover: &mut GapSearch,
    ) -> Option<(Vec<Bits>, Vec<usize>)> {
        let cells = self.rule_space.cells.iter();
        let within = cells
            .zip(&self.rule_space.dimensions)
            .map(|(cells, dimension)| {
                let cell = cells[rule].as_ref()?;
                Some(match dimension {
                    Some(dimension) => cell.and(&dimension.possible),
                    None => Bits::all(2),
                })
            })
            .collect::<Option<Vec<Bits>>>()?;
        if within.iter().any(Bits::is_clear) || before.is_clear() || cover.spent() {
            return None;
        }
        let mut rivals = before.clone();
        for other in before.ones() {
            if !self.meet(other, rule, &mut cover.work) {
                rivals.remove(other);
            }
        }
        let covered = cover.covers(&within, &rivals)?;
        covered.then(|| (within, rivals.ones().collect()))
    }

    fn find_shadowed(&mut self, rule: usize, within: &[Bits], rivals: &[usize]) {
        let named = &rivals[..rivals.len().min(MAX_NAMED)];
        let names: Vec<String> = named.iter().map(|rival| self.rule_name(*rival)).collect();
        let example = Some(self.example_of(&self.sample(within)));
        let message = format!(
            "{} can never fire: all its records are taken by {}{}",
            self.rule_name(rule),
            names.join(", "),
            if rivals.len() > MAX_NAMED {
                ", …"
            } else {
                ""
            }
        );
        let rules = [&[rule], named].concat();
        let remedy = if self.table.hit == HitPolicy::First {
            "move it up, narrow the rules above it, or remove it"
        } else {
            "raise its output's priority, narrow the others, or remove it"
        };
        self.find(
            Check::Shadowed,
            Severity::Warning,
            &rules,
            example,
            message,
            remedy,
        );
    }

    /// Finds records that no rule covers.
    pub(super) fn gaps(&mut self) {
        let table = self.table;
        // If only some outputs have a default, the others are null, and such a verdict is refused.
        let has_default = table.outputs.iter().all(|output| output.default.is_some());
        if has_default || matches!(table.hit, HitPolicy::Collect(_)) {
            return;
        }
        if self.groups.len() > MAX_COLUMNS {
            self.note(&format!(
                "gaps are searched in tables of up to {MAX_COLUMNS} inputs"
            ));
            return;
        }
        let within = self.searched();
        let mut cover = GapSearch::of(&self.rule_space, table.rules.len());
        let mut regions = cover.uncovered(&within, &Bits::all(table.rules.len()), MAX_GAPS * 10);
        if cover.spent() {
            self.note("the search for gaps stopped before its end: there may be more");
        }
        join(&mut regions);
        let mut search = self.record_search();
        let more = self.list_gaps(regions, &within, &mut search);
        self.null_gaps(&within, &mut cover, &mut search);
        if more > 0 {
            self.note(&format!("{more} further gaps are not listed"));
        }
    }

    /// The records that gaps are searched among.
    fn searched(&self) -> Vec<Bits> {
        let dimensions = self.rule_space.dimensions.iter();
        dimensions
            .map(|dimension| {
                let Some(dimension) = dimension else {
                    return Bits::all(2);
                };
                let mut set = dimension.possible.clone();
                // A null that no cell mentions is a finding of its own.
                if !dimension.null_matters && set.count_ones(..) > 1 {
                    set.remove(dimension.null());
                }
                set
            })
            .collect()
    }

    /// Lists the regions into which a record can fall; how many of them there is no room for.
    fn list_gaps(
        &mut self,
        regions: Vec<Vec<Bits>>,
        within: &[Bits],
        search: &mut RecordSearch,
    ) -> usize {
        let free = self.is_free();
        let (mut listed, mut more, mut unproven) = (0, 0, 0);
        for region in regions {
            if listed == MAX_GAPS {
                more += 1;
                continue;
            }
            let Some(region) = self.possible(region) else {
                continue;
            };
            let Some(example) = self.uncovered_record(&region, search) else {
                unproven += usize::from(!free || search.left_out);
                continue;
            };
            listed += 1;
            let message = match self.region_text_within(&region, within) {
                text if text == EVERY_RECORD => "no rule covers any record".to_owned(),
                text => format!("no rule covers {text}"),
            };
            self.find(
                Check::Gap,
                Severity::Warning,
                &[],
                Some(example),
                message,
                "add a rule for it, widen one beside it, or give every output a default; until then such records are rejected",
            );
        }
        if unproven > 0 {
            self.note(&format!(
                "{} possible by the cells alone, and no record was found that falls into {}",
                counted(unproven as u64, "gap is", "gaps are"),
                if unproven == 1 { "it" } else { "them" }
            ));
        }
        more
    }

    /// Finds inputs that can be null where no rule accepts that: such records are rejected as `null_input`.
    fn null_gaps(&mut self, within: &[Bits], cover: &mut GapSearch, search: &mut RecordSearch) {
        for group in 0..self.groups.len() {
            let Some(dimension) = &self.rule_space.dimensions[group] else {
                continue;
            };
            let null = dimension.null();
            // Whether a computed input comes to null is found by a record that the mapping lets through.
            let can_be_null = dimension.values.nullable.unwrap_or_else(|| {
                let mut variables = self.variables.iter();
                self.variable_of(group).is_none()
                    && variables.all(|variable| variable.values.nullable.is_some())
            });
            if !can_be_null || !dimension.possible.contains(null) || within[group].contains(null) {
                continue;
            }
            let mut region = within.to_vec();
            region[group] = Bits::with_capacity(dimension.segments());
            region[group].insert(null);
            let rules = Bits::all(self.table.rules.len());
            let example = cover
                .uncovered(&region, &rules, MAX_GAPS)
                .into_iter()
                .filter_map(|region| self.possible(region))
                .find_map(|region| self.uncovered_record(&region, search));
            if let Some(example) = example {
                let name = self.column_name(group).to_owned();
                self.find(
                    Check::Gap,
                    Severity::Warning,
                    &[],
                    Some(example),
                    format!("no rule covers records where `{name}` is null: they are rejected as null_input"),
                    "add a rule with `null` in this column, or give the field a default in mappings.yaml",
                );
            }
        }
    }

    /// A record of the region that the table decides by no rule.
    fn uncovered_record(&self, region: &[Bits], search: &mut RecordSearch) -> Option<Example> {
        self.record_of(region, search, &|decided, _| {
            let uncovered = match decided.outcome {
                Outcome::NoRule(_) => true,
                // Some outputs have a default, and the others are null.
                Outcome::Value(_, rules) => rules.is_empty(),
                _ => false,
            };
            uncovered && self.lies_in(region, decided.inputs)
        })
    }

    /// Like [`Self::region_text`], where everything within the searched values counts as any.
    fn region_text_within(&self, sets: &[Bits], within: &[Bits]) -> String {
        let widened: Vec<Bits> = sets
            .iter()
            .zip(within)
            .enumerate()
            .map(
                |(group, (set, within))| match &self.rule_space.dimensions[group] {
                    Some(dimension) if set == within => dimension.possible.clone(),
                    _ => set.clone(),
                },
            )
            .collect();
        self.region_text(&widened)
    }
}

/// Joins regions that differ in one column only.
pub(super) fn join(regions: &mut Vec<Vec<Bits>>) {
    let mut changed = true;
    while changed {
        changed = false;
        'pairs: for first in 0..regions.len() {
            for second in first + 1..regions.len() {
                let differing: Vec<usize> = (0..regions[first].len())
                    .filter(|column| regions[first][*column] != regions[second][*column])
                    .collect();
                if differing.len() <= 1 {
                    let other = regions.remove(second);
                    if let Some(column) = differing.first() {
                        regions[first][*column].union_with(&other[*column]);
                    }
                    changed = true;
                    break 'pairs;
                }
            }
        }
    }
}

impl GapSearch {
    pub(super) fn of(rule_space: &RuleSpace, count: usize) -> Self {
        let mut rules = Vec::new();
        for (dimension, cells) in rule_space.dimensions.iter().zip(&rule_space.cells) {
            let segments = dimension.as_ref().map_or(2, Dimension::segments);
            let mut by_segment = vec![Bits::with_capacity(count); segments];
            for (rule, cell) in cells.iter().enumerate() {
                match cell {
                    Some(set) => set.ones().filter(|s| *s < segments).for_each(|segment| {
                        by_segment[segment].insert(rule);
                    }),
                    None => by_segment.iter_mut().for_each(|set| set.insert(rule)),
                }
            }
            rules.push(by_segment);
        }
        let mut tails = vec![Bits::all(count); rules.len() + 1];
        for group in (0..rules.len()).rev() {
            let mut tail = tails[group + 1].clone();
            for set in &rules[group] {
                tail = tail.and(set);
            }
            tails[group] = tail;
        }
        Self {
            rules,
            tails,
            work: 0,
        }
    }

    /// Has the search used up its work?
    fn spent(&self) -> bool {
        self.work > MAX_WORK
    }

    /// Is every part of the region covered? None when that took too long to find out.
    pub(super) fn covers(&mut self, within: &[Bits], rules: &Bits) -> Option<bool> {
        let found = self.uncovered(within, rules, 1);
        if !found.is_empty() {
            return Some(false);
        }
        (!self.spent()).then_some(true)
    }

    /// Parts of the region that none of the rules covers.
    fn uncovered(&mut self, within: &[Bits], rules: &Bits, most: usize) -> Vec<Vec<Bits>> {
        let mut gaps = Uncovered {
            within,
            most,
            path: Vec::new(),
            covered: HashSet::new(),
            found: Vec::new(),
        };
        if !within.iter().any(Bits::is_clear) {
            self.search(0, rules.clone(), &mut gaps);
        }
        gaps.found
    }

    /// Searches the columns from this group on. `active`: the rules that accept everything on the path. True: all of it is
    /// covered.
    fn search(&mut self, group: usize, active: Bits, gaps: &mut Uncovered<'_>) -> bool {
        if active.is_clear() {
            let mut region = gaps.path.clone();
            region.extend_from_slice(&gaps.within[group..]);
            gaps.found.push(region);
            return false;
        }
        if group == gaps.within.len() || !active.is_disjoint(&self.tails[group]) {
            return true;
        }
        if gaps.covered.contains(&(group, active.clone())) {
            return true;
        }
        let mut parts: HashMap<Bits, Bits> = HashMap::new();
        for segment in gaps.within[group].ones() {
            self.work += active.as_slice().len() as u64;
            let accepting = active.and(&self.rules[group][segment]);
            parts
                .entry(accepting)
                .or_insert_with(|| Bits::with_capacity(self.rules[group].len()))
                .insert(segment);
        }
        let mut parts: Vec<(Bits, Bits)> = parts.into_iter().collect();
        parts.sort_by_key(|(_, segments)| segments.ones().next());
        let mut whole = true;
        for (accepting, segments) in parts {
            if gaps.found.len() >= gaps.most || self.spent() {
                return false;
            }
            gaps.path.push(segments);
            whole &= self.search(group + 1, accepting, gaps);
            gaps.path.pop();
        }
        if whole {
            gaps.covered.insert((group, active));
        }
        whole
    }
}
