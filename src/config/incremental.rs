//! `incremental` of the fetch endpoint: how the API is asked for what changed since the watermark.

use std::time::Duration;

use super::plan::{Field, Incremental, Kind, SinceFormat};
use super::reader::Section;

const LONGEST_OVERLAP: Duration = Duration::from_hours(24 * 366);
const USUAL_OVERLAP: Duration = Duration::from_mins(5);

pub(super) fn incremental(
    fetch: &Section<'_>,
    params: &[(String, String)],
    fields: &[Field],
) -> Option<Incremental> {
    let section = fetch.section(
        "incremental",
        &["param", "field", "overlap", "format", "template"],
    );
    if !section.is_present() {
        return None;
    }
    for key in ["param", "field"] {
        if section.entry(key).is_none() {
            section.absent_key(
                key,
                "for example `{ param: updated_since, field: updated_date }`",
            );
        }
    }
    let overlap = section
        .duration("overlap", Duration::ZERO, LONGEST_OVERLAP)
        .unwrap_or(USUAL_OVERLAP);
    let (param, field) = (section.text("param")?, section.json_path("field")?);
    let is_in_body = fetch.names("pagination").is_word("params_in", "body");
    if !is_in_body && params.iter().any(|(name, _)| *name == param) {
        section.wrong(
            "param",
            "`params` sets this parameter too",
            "datasync sends it with the watermark: take it out of `params`",
        );
    }
    if let Some(mapped) = fields.iter().find(|mapped| mapped.is_at(&field))
        && mapped.kind != Kind::DateTime
    {
        section.wrong(
            "field",
            format!("the field is mapped to `{}`, which is no datetime", mapped.name),
            "give it `type: datetime`, with the `format` and `timezone` of its times where they are not RFC 3339",
        );
    }
    let (format, template) = since(&section);
    Some(Incremental {
        param,
        field,
        overlap,
        format,
        template,
    })
}

/// How the time of the watermark is written and sent.
fn since(section: &Section<'_>) -> (SinceFormat, String) {
    let expected = "`rfc3339`, `epoch_seconds`, `epoch_milliseconds`, or strftime's letters for a whole time such as `%Y-%m-%d %H:%M:%S`,";
    let format = section.parse("format", expected, |text| match text {
        "rfc3339" => Some(SinceFormat::Rfc3339),
        "epoch_seconds" => Some(SinceFormat::EpochSeconds),
        "epoch_milliseconds" => Some(SinceFormat::EpochMilliseconds),
        text => writes_a_time(text).then(|| SinceFormat::Pattern(text.to_owned())),
    });
    let template = section.parse(
        "template",
        "text with one `{}`, such as `gte.{}`,",
        |text| (text.matches("{}").count() == 1).then(|| text.to_owned()),
    );
    (
        format.unwrap_or(SinceFormat::Rfc3339),
        template.unwrap_or_else(|| "{}".to_owned()),
    )
}

/// Is this a valid format of strftime for a time?
fn writes_a_time(format: &str) -> bool {
    let moment = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    format.contains('%') && jiff::fmt::strtime::format(format, &moment).is_ok()
}
