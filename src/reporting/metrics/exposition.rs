//! Writes Prometheus' text format, and reads a file that was written before.
//!
//! It knows families, series and values, but not their meaning. It is written by hand because the libraries for the format
//! count themselves: none accepts finished figures or continues the counters of a file.

use std::collections::BTreeMap;

use crate::model::shard::Shard;
use crate::support::histogram::Histogram;

/// The kinds of families that are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The label on every series of a shard's file: `shard="1/4"`. None for the whole source.
#[derive(Clone, Debug, Default)]
pub(super) struct Label(Option<String>);

impl Label {
    /// The label of a shard.
    pub fn of(shard: Shard) -> Self {
        Self(Some(format!("{SHARD}{shard}\"")))
    }

    /// The label in an existing file. All of its series have the same.
    pub fn of_file(text: &str) -> Self {
        let labelled = |line: &str| {
            let (_, labels) = line.split_once('{')?;
            let (value, _) = labels.strip_prefix(SHARD)?.split_once('"')?;
            value.parse().ok()
        };
        text.lines()
            .filter(|line| line.starts_with("datasync_"))
            .find_map(labelled)
            .map_or_else(Self::default, Self::of)
    }

    /// The series with the label, as the file has it: `name{label="value"}`.
    fn put(&self, series: &str) -> String {
        match (&self.0, series.split_once('{')) {
            (None, _) => series.to_owned(),
            (Some(label), None) => format!("{series}{{{label}}}"),
            (Some(label), Some((name, others))) => format!("{name}{{{label},{others}"),
        }
    }

    /// The series without the label; none if it has the label of another shard.
    fn take(&self, written: &str) -> Option<String> {
        let (name, labels) = written.split_once('{').unwrap_or((written, ""));
        let Some(label) = &self.0 else {
            return (!labels.starts_with(SHARD)).then(|| written.to_owned());
        };
        match labels.strip_prefix(label.as_str())?.strip_prefix(',') {
            Some(others) => Some(format!("{name}{{{others}")),
            None => Some(name.to_owned()),
        }
    }
}

/// The beginning of the label.
const SHARD: &str = "shard=\"";

/// The series of the previous file with their values: `name{label="value"}` → value.
#[derive(Debug, Default)]
pub(super) struct PreviousFile(BTreeMap<String, f64>);

impl PreviousFile {
    /// Parses the previous file. Unusable lines are ignored: their counters start at 0, which Prometheus takes for a reset.
    pub fn parse(text: &str, label: &Label) -> Self {
        let series = text
            .lines()
            .filter(|line| line.starts_with("datasync_"))
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                Some((label.take(series)?, value.parse().ok()?))
            });
        Self(series.collect())
    }

    /// The value of one series; 0 if the file does not have it.
    pub fn value(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or(0.0)
    }

    /// All series of a family, except those of a histogram.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.iter().filter_map(move |(series, value)| {
            let rest = series.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with('{')).then_some((series.as_str(), *value))
        })
    }
}

/// The file that is being written.
#[derive(Debug, Default)]
pub(super) struct Page {
    label: Label,
    text: String,
}

impl Page {
    /// An empty file.
    pub const fn new(label: Label) -> Self {
        Self {
            label,
            text: String::new(),
        }
    }

    /// Writes the header of a family. Its series follow.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(&format!("# HELP {name} {help}"));
        self.line(&format!("# TYPE {name} {kind}"));
    }

    /// Writes one series.
    pub fn sample(&mut self, series: &str, value: f64) {
        // Rust prints the shortest text that reads back as the same number. Only infinities differ, and there is none here.
        self.line(&format!("{} {value}", self.label.put(series)));
    }

    /// Writes the series of a histogram, each added to its value in the previous file.
    pub fn histogram(&mut self, name: &str, added: &Histogram, former: &PreviousFile) {
        let mut one = |series: &str, value: f64| {
            let value = value + former.value(series);
            self.sample(series, value);
        };
        for (bound, count) in added.cumulative() {
            one(
                &series(&format!("{name}_bucket"), "le", &bound.to_string()),
                count as f64,
            );
        }
        let all = added.count() as f64;
        one(&series(&format!("{name}_bucket"), "le", "+Inf"), all);
        one(&format!("{name}_sum"), added.sum());
        one(&format!("{name}_count"), all);
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// `name{label="value"}`.
pub(super) fn series(name: &str, label: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}{{{label}=\"{value}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn label_values_are_escaped_and_read_back_under_the_same_name() {
        let odd = series("datasync_x", "reason", "a \"b\" \\ c\nd } e 1");
        assert_eq!(odd, "datasync_x{reason=\"a \\\"b\\\" \\\\ c\\nd } e 1\"}");
        let mut page = Page::default();
        page.family("datasync_x", Kind::Gauge, "one\nline");
        page.sample(&odd, 0.25);
        page.sample("datasync_xy", 3.0);
        let text = page.finish();
        let former = PreviousFile::parse(&text, &Label::default());
        assert!((former.value(&odd) - 0.25).abs() < f64::EPSILON);
        let all: Vec<_> = former.of("datasync_x").map(|(series, _)| series).collect();
        assert_eq!(all, [odd.as_str()], "and not those of datasync_xy");
    }

    #[test]
    fn a_histogram_goes_on_from_the_former_file() {
        let mut seen = Histogram::default();
        seen.record(Duration::from_millis(20));
        let mut text = String::new();
        for _ in 0..3 {
            let mut page = Page::default();
            page.histogram(
                "datasync_api",
                &seen,
                &PreviousFile::parse(&text, &Label::default()),
            );
            text = page.finish();
        }
        for line in [
            "datasync_api_bucket{le=\"0.01\"} 0",
            "datasync_api_bucket{le=\"0.025\"} 3",
            "datasync_api_bucket{le=\"+Inf\"} 3",
            "datasync_api_count 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_file_that_is_not_ours_starts_everything_anew() {
        let text = "rubbish\ndatasync_x many\n\u{fffd}\nother_total 7\n";
        let former = PreviousFile::parse(text, &Label::default());
        assert!(former.value("datasync_x").abs() < f64::EPSILON);
        assert_eq!(former.of("other_total").count(), 0);
    }

    #[test]
    fn a_shards_series_are_its_own() {
        let label = |text: &str| text.parse().map_or_else(|_| Label::default(), Label::of);
        let odd = series("datasync_x", "reason", "shard=\"1/2\"}");
        let mut page = Page::new(label("1/2"));
        page.sample("datasync_plain", 1.0);
        page.sample(&odd, 2.0);
        let text = page.finish();
        assert!(
            text.starts_with("datasync_plain{shard=\"1/2\"} 1\ndatasync_x{shard=\"1/2\",reason=")
        );
        let own = PreviousFile::parse(&text, &Label::of_file(&text));
        assert!((own.value("datasync_plain") - 1.0).abs() < f64::EPSILON);
        assert!((own.value(&odd) - 2.0).abs() < f64::EPSILON);
        for other in [label("2/2"), label("1/20"), Label::default()] {
            let former = PreviousFile::parse(&text, &other);
            assert_eq!(former.0.len(), 0, "{other:?}");
        }
    }
}
