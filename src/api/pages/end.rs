//! Decides whether the source has been read whole, by proofs that all pages give, in their order.
//!
//! Nothing else in the program decides that a run is complete.

use std::fmt;

/// What proves that the last page was the last one. Reports, `sync_log` and docs/size.md use the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A total was announced, and as many records or pages came.
    Announced,
    /// The source said that there is no next page.
    Marked,
    /// A short page, and the page beyond it was refused.
    Short,
    /// The only page had fewer records than requested, and nothing on it hints at another page.
    Single,
    /// The page after the last had no records.
    Empty,
    /// The page after the last repeated the last one: the source does not page, or has no more pages.
    Same,
    /// mappings.yaml says so.
    Stated,
}

impl Proof {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Marked => "marked",
            Self::Short => "short",
            Self::Single => "single",
            Self::Empty => "empty",
            Self::Same => "same",
            Self::Stated => "stated",
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The end of a source, as a run has found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Not reached: an error, a limit or a stop came first.
    #[default]
    Unknown,
    /// Reached, but the source changed while it was read. The text says how.
    Moved(String),
    /// No more pages came, and nothing proves that these were all. The text says what is missing, without advice.
    Guessed(String),
    Proven(Proof),
}

impl End {
    /// The word in reports; none if the end was not reached.
    pub const fn word(&self) -> Option<&'static str> {
        match self {
            Self::Unknown | Self::Moved(_) => None,
            Self::Guessed(_) => Some("unproven"),
            Self::Proven(proof) => Some(proof.as_str()),
        }
    }

    pub const fn is_proven(&self) -> bool {
        matches!(self, Self::Proven(_))
    }
}

/// A figure that pages announce: its value on the first page, and whether a later page had another value.
#[derive(Clone, Copy, Debug)]
struct Announced {
    first: u64,
    latest: u64,
    moved: bool,
}

impl Announced {
    const fn note(known: &mut Option<Self>, now: u64) {
        match known {
            Some(known) => {
                known.moved |= known.latest != now;
                known.latest = now;
            }
            None => {
                *known = Some(Self {
                    first: now,
                    latest: now,
                    moved: false,
                });
            }
        }
    }
}

/// What one page says of the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PageStatement {
    pub count: u64,
    /// Total of records that this page announces.
    pub total: Option<u64>,
    /// Number of pages that this page announces.
    pub pages: Option<u64>,
    /// The size of a page, as the server states it.
    pub size: Option<u64>,
    /// Some of its records were on the page before it, too.
    pub shifted: bool,
}

/// What all pages together have shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// Pages with records, not counting repeated pages, and their records.
    pages: u64,
    records: u64,
    /// Records of the first page, and the page size that the server stated there.
    first_count: u64,
    stated_size: Option<u64>,
    total: Option<Announced>,
    page_count: Option<Announced>,
    /// On every page so far the total was the number of its own records.
    totals_count_the_page: bool,
    shifted: bool,
    /// Signs of the end that were seen. Each is a proof unless something contradicts it.
    signs: Vec<Proof>,
    /// A page beyond a sign of the end had records: the sentence that says so.
    pub contradicted: Option<String>,
}

impl Evidence {
    /// Notes a page. Pages must come in order; a page that repeats the one before it must be left out.
    pub fn note(&mut self, statement: PageStatement) {
        let first = self.pages == 0 && self.total.is_none() && self.page_count.is_none();
        if first {
            self.first_count = statement.count;
            self.stated_size = statement.size;
            self.totals_count_the_page = true;
        }
        // On a page beyond the last many sources announce nothing, or 0.
        if statement.count > 0 || first {
            if let Some(total) = statement.total {
                Announced::note(&mut self.total, total);
                self.totals_count_the_page &= total == statement.count;
            }
            if let Some(pages) = statement.pages {
                Announced::note(&mut self.page_count, pages);
            }
        }
        self.pages += u64::from(statement.count > 0);
        self.records += statement.count;
        self.shifted |= statement.shifted;
    }

    pub const fn records(&self) -> u64 {
        self.records
    }

    /// A sign of the end has been seen.
    pub fn see(&mut self, sign: Proof) {
        if !self.signs.contains(&sign) {
            self.signs.push(sign);
        }
    }

    /// Some sign of the end has been seen.
    pub const fn has_ended(&self) -> bool {
        !self.signs.is_empty()
    }

    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// The total, if it can be relied on: a total that is no greater than the first page may count that page alone.
    pub fn reliable_total(&self) -> Option<u64> {
        let total = self.total?;
        let counts_the_page = total.first <= self.first_count
            && self.page_count.is_none_or(|pages| pages.first > 1)
            && self.stated_size.is_none_or(|size| size <= self.first_count);
        (!counts_the_page && !self.counts_every_page() && self.records <= total.latest)
            .then_some(total.latest)
    }

    /// Announced and received records, if fewer came than were announced.
    pub fn missing(&self) -> Option<(u64, u64)> {
        let total = self.total?;
        (!self.counts_every_page() && total.latest > self.records)
            .then_some((total.latest, self.records))
    }

    /// The server states a page size above this.
    pub fn states_larger(&self, count: u64) -> bool {
        self.stated_size.is_some_and(|size| size > count)
    }

    /// All announced pages came, but not as many records as announced. Then one more page shows whether the total or the
    /// number of pages is wrong.
    pub fn wants_another_page(&self) -> bool {
        if self.moved().is_some() {
            return false;
        }
        let too_many = self.page_count.is_none()
            && !self.counts_every_page()
            && self.total.is_some_and(|total| self.records > total.latest);
        self.missing().is_some() || too_many
    }

    /// On several pages the total was the number of records of that page, so it does not count the source.
    const fn counts_every_page(&self) -> bool {
        self.totals_count_the_page && self.pages > 1
    }

    /// Something that was announced has changed: the total, or the number of pages.
    fn moved(&self) -> Option<String> {
        if let Some(total) = self
            .total
            .filter(|total| total.moved && !self.counts_every_page())
        {
            return Some(format!(
                "the source announced {} records at first and {} later",
                total.first, total.latest
            ));
        }
        if let Some(pages) = self.page_count.filter(|pages| pages.moved) {
            return Some(format!(
                "the source announced {} pages at first and {} later",
                pages.first, pages.latest
            ));
        }
        self.shifted
            .then(|| "records came again on the next page".to_owned())
    }

    /// Decides whether the source was read whole. Call it after all fetching has ended, and only if the sequence has come to
    /// its own end.
    pub fn conclude(&self) -> End {
        if let Some(contradiction) = &self.contradicted {
            return End::Guessed(contradiction.clone());
        }
        if let Some(how) = self.moved() {
            return End::Moved(how);
        }
        if let Some((total, received)) = self.missing() {
            return End::Guessed(format!(
                "the API announces {total} records and sent {received}"
            ));
        }
        if let Some(pages) = self.page_count
            && pages.latest > self.pages.max(1)
        {
            return End::Guessed(format!(
                "the API announces {} pages and sent {}",
                pages.latest, self.pages
            ));
        }
        let announced = match (self.reliable_total(), self.page_count) {
            (Some(total), _) => total == self.records,
            (None, Some(pages)) => {
                pages.latest == self.pages || (pages.latest <= 1 && self.pages <= 1)
            }
            (None, None) => false,
        };
        if announced {
            return End::Proven(Proof::Announced);
        }
        let first = [
            Proof::Marked,
            Proof::Short,
            Proof::Empty,
            Proof::Single,
            Proof::Same,
            Proof::Stated,
        ]
        .into_iter()
        .find(|sign| self.signs.contains(sign));
        first.map_or_else(
            || End::Guessed("nothing says that the last page was the last".to_owned()),
            End::Proven,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(count: u64) -> PageStatement {
        PageStatement {
            count,
            ..PageStatement::default()
        }
    }

    fn of_total(count: u64, total: u64) -> PageStatement {
        PageStatement {
            total: Some(total),
            ..page(count)
        }
    }

    fn end_of(pages: &[PageStatement], signs: impl FnOnce(&mut Evidence)) -> End {
        let mut evidence = Evidence::default();
        for page in pages {
            evidence.note(*page);
        }
        signs(&mut evidence);
        evidence.conclude()
    }

    fn is_unproven(end: &End) -> bool {
        end.word() == Some("unproven")
    }

    #[test]
    fn a_total_that_is_met_is_a_proof() {
        let end = end_of(
            &[of_total(100, 237), of_total(100, 237), of_total(37, 237)],
            |_| {},
        );
        assert_eq!(end, End::Proven(Proof::Announced));
    }

    #[test]
    fn a_total_that_may_count_the_page_is_none() {
        assert!(is_unproven(&end_of(&[of_total(100, 100)], |_| {})));
        let stated = PageStatement {
            size: Some(200),
            ..of_total(100, 100)
        };
        assert_eq!(end_of(&[stated], |_| {}), End::Proven(Proof::Announced));
        let pages = PageStatement {
            pages: Some(1),
            ..of_total(100, 100)
        };
        assert_eq!(end_of(&[pages], |_| {}), End::Proven(Proof::Announced));
        // A total like this on every page is not a total of the source, so the empty page decides.
        let counting = [of_total(100, 100), of_total(37, 37), page(0)];
        assert_eq!(
            end_of(&counting, |evidence| evidence.see(Proof::Empty)),
            End::Proven(Proof::Empty)
        );
    }

    #[test]
    fn what_is_announced_and_did_not_come_outweighs_every_sign() {
        let end = end_of(&[of_total(50, 237)], |evidence| {
            evidence.see(Proof::Marked);
            evidence.see(Proof::Stated);
        });
        assert_eq!(
            end,
            End::Guessed("the API announces 237 records and sent 50".to_owned())
        );
    }

    #[test]
    fn a_source_that_moved_is_neither_complete_nor_in_error() {
        let end = end_of(&[of_total(100, 300), of_total(100, 301)], |_| {});
        assert!(matches!(end, End::Moved(_)), "{end:?}");
        let shifted = PageStatement {
            shifted: true,
            ..page(100)
        };
        let end = end_of(&[page(100), shifted], |evidence| evidence.see(Proof::Empty));
        assert_eq!(end.word(), None, "{end:?}");
    }

    #[test]
    fn records_beyond_the_end_are_a_contradiction() {
        let end = end_of(&[page(100)], |evidence| {
            evidence.see(Proof::Empty);
            evidence.contradicted = Some("page 2 was 404 and page 3 was not".to_owned());
        });
        assert!(is_unproven(&end), "{end:?}");
    }
}
