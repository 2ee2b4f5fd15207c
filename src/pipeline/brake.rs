//! Brakes: they stop a run whose source suddenly has no records, far fewer than before, or many that are rejected.

use super::flow::Braked;
use crate::model::cause::BrakeCause;

/// So many records must have been decided before the share of rejections is checked.
pub(super) const FIRST: u64 = 1_000;

/// What a full run is compared with, and how far it may deviate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Brake {
    /// The number of records in the last complete full run; none where there was no such run.
    pub previous: Option<u64>,
    /// The same for all shards together. An announced total is compared with this number.
    pub previous_whole: Option<u64>,
    pub zero_records: bool,
    /// The share by which the number may fall, from 0 to 1.
    pub max_drop: Option<f64>,
    /// The share of the first 1,000 records that may be rejected, from 0 to 1.
    pub max_rejection: Option<f64>,
}

impl Brake {
    /// If a run with this many records has to be stopped: which brake stops it, and a sentence.
    pub fn on_volume(&self, records: u64) -> Option<Braked> {
        self.compare(self.previous, records)
    }

    /// The same for the number that the API announces, before anything is written.
    pub(super) fn on_announced(&self, records: u64) -> Option<Braked> {
        self.compare(self.previous_whole, records)
    }

    fn compare(&self, before: Option<u64>, records: u64) -> Option<Braked> {
        let before = before.filter(|&before| before > 0)?;
        let advice = "look at the source; --accept-drop lets the run pass";
        if records == 0 && self.zero_records {
            return Some(Braked {
                brake: BrakeCause::ZeroRecords,
                sentence: format!(
                    "the source has no records, and had {before} in the last complete run: {advice}"
                ),
            });
        }
        let drop = 1.0 - records as f64 / before as f64;
        self.max_drop.filter(|&limit| drop > limit).map(|limit| Braked {
            brake: BrakeCause::MaxDrop,
            sentence: format!(
                "the source has {records} records, {:.1} % less than the {before} of the last complete run, and \
                 brakes.max_drop is {:.1} %: {advice}",
                100.0 * drop,
                100.0 * limit
            ),
        })
    }

    /// The same for the number of rejections among the first records.
    pub(super) fn on_rejections(&self, rejected: u64, records: u64) -> Option<Braked> {
        let limit = self.max_rejection.filter(|_| records >= FIRST)?;
        let share = rejected as f64 / FIRST as f64;
        (share > limit).then(|| Braked {
            brake: BrakeCause::MaxRejection,
            sentence: format!(
                "{rejected} of the first {FIRST} records were rejected, and brakes.max_rejection is {:.1} %: look at \
                 `datasync validate --fetch --limit {FIRST}`; --accept-drop lets the run pass",
                100.0 * limit
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRAKE: Brake = Brake {
        previous: Some(1_000),
        previous_whole: Some(1_000),
        zero_records: true,
        max_drop: Some(0.5),
        max_rejection: Some(0.3),
    };

    #[test]
    fn nothing_or_far_less_than_before_is_stopped() {
        assert_eq!(BRAKE.on_volume(500), None);
        assert_eq!(BRAKE.on_volume(2_000), None);
        assert!(
            BRAKE
                .on_volume(499)
                .is_some_and(|braked| braked.brake == BrakeCause::MaxDrop)
        );
        assert!(
            BRAKE
                .on_volume(0)
                .is_some_and(|braked| braked.brake == BrakeCause::ZeroRecords)
        );
        let first = Brake {
            previous: None,
            ..BRAKE
        };
        assert_eq!(
            first.on_volume(0),
            None,
            "the first run has nothing to be compared with"
        );
    }

    #[test]
    fn rejections_are_looked_at_after_the_first_thousand() {
        assert_eq!(BRAKE.on_rejections(999, 999), None);
        assert_eq!(BRAKE.on_rejections(300, 1_000), None);
        assert!(BRAKE.on_rejections(301, 1_000).is_some());
    }
}
