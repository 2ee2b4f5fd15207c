//! What a file that loads becomes: the shipped one, the plain convention, and the long forms.

use std::fs;
use std::path::Path;
use std::time::Duration;

use datasync::config::plan::{Channel, Kind, PageStyle, SslMode};

use super::{Setting, changed, shipped};

#[test]
fn the_shipped_file_loads_without_a_warning() {
    let plan = shipped().plan();
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    let api = plan.api().unwrap();
    assert_eq!(api.base_url.as_str(), "https://api.example.com/");
    assert_eq!(
        (api.fetch.path.as_str(), api.fetch.method.as_str()),
        ("/api/v1/data", "GET")
    );
    assert_eq!(api.fetch.timeout, Duration::from_secs(30));
    assert_eq!(api.fetch.retry.max_attempts, 3);
    assert_eq!(api.pagination.style, PageStyle::Page);
    assert_eq!(
        (
            api.pagination.size,
            api.pagination.first,
            api.pagination.concurrency
        ),
        (100, Some(1), 4)
    );
    assert_eq!(api.max_page_bytes, 32 << 20);
    assert!(api.update.is_none() && api.records.is_none() && api.incremental.is_none());
    let headers: Vec<_> = api
        .fetch
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    assert_eq!(headers, [("Accept", "application/json")]);

    let database = plan.database().unwrap();
    assert_eq!(
        (database.host.as_str(), database.port),
        ("db.example.com", 6543)
    );
    assert_eq!(
        (database.name.as_str(), database.user.as_str()),
        ("crm", "sync")
    );
    assert_eq!(database.password.expose(), "canary-password");
    assert_eq!(database.ssl_mode, SslMode::VerifyFull);
    assert_eq!(
        (
            database.min_connections,
            database.max_connections,
            database.batch_size
        ),
        (2, 10, 5000)
    );
    assert_eq!(
        (database.schema.as_str(), database.table.as_str()),
        ("public", "customers")
    );
    assert_eq!(plan.mapping.key_column(), "customer_id");

    let fields: Vec<_> = plan
        .mapping
        .fields
        .iter()
        .map(|field| {
            (
                field.source.join("."),
                field.name.as_str(),
                field.column.as_deref(),
                field.kind,
                field.required,
            )
        })
        .collect();
    let expected = [
        (
            "external_id",
            "customerId",
            "customer_id",
            Kind::String,
            true,
        ),
        (
            "full_name",
            "customerName",
            "customer_name",
            Kind::String,
            true,
        ),
        ("contact_email", "email", "email", Kind::Email, false),
        (
            "created_date",
            "createdAt",
            "created_at",
            Kind::DateTime,
            false,
        ),
        (
            "quality_score",
            "qualityScore",
            "quality_score",
            Kind::Decimal,
            false,
        ),
        (
            "record_type",
            "recordType",
            "record_type",
            Kind::String,
            false,
        ),
    ];
    let expected = expected.map(|(source, name, column, kind, required)| {
        (source.to_owned(), name, Some(column), kind, required)
    });
    assert_eq!(fields, expected);
    assert_eq!(plan.mapping.key, 0);
    assert_eq!(plan.mapping.quality_score.field, Some(4));
    assert_eq!(plan.mapping.fields[4].max, Some(100.into()));
    assert_eq!(
        plan.mapping.fields[5].default.as_deref(),
        Some("\"customer\"")
    );

    assert!(
        (plan.alerts.rejection_rate - 0.2).abs() < 1e-9
            && (plan.alerts.sync_failure_rate - 0.05).abs() < 1e-9
    );
    assert_eq!(plan.alerts.api_response_time, Duration::from_secs(10));
    assert_eq!(plan.brakes.max_drop, Some(0.5));
    assert_eq!(
        plan.on_failure.notify_api.as_deref(),
        Some("alert_ops_team")
    );
    assert!(plan.on_failure.continue_on_database_failure);
    assert_eq!(plan.spool_max_bytes, 1 << 30);
    assert_eq!(plan.retention, Duration::from_hours(24 * 90));
    assert_eq!(
        plan.state_dir,
        Path::new("/home/sync/.local/state/datasync")
    );
    assert_eq!(plan.config_hash.len(), 64);
    assert!(plan.notifications.ping.is_none());
    assert!(
        plan.notifications.teams[0].1.is_empty(),
        "an empty webhook is off"
    );
}

#[test]
fn a_file_in_the_plain_convention_loads_unmodified() {
    let plan = Setting::new("fixtures/config/convention.yaml").plan();
    assert_eq!(plan.database().unwrap().ssl_mode, SslMode::Require);
    assert_eq!(plan.database().unwrap().port, 6543);
    assert_eq!(plan.mapping.fields.len(), 6);
    assert_eq!(
        plan.mapping.fields[3].kind,
        Kind::DateTime,
        "created_at of the built-in schema"
    );
    assert_eq!(
        plan.mapping.fields[4].kind,
        Kind::Decimal,
        "quality_score of the built-in schema"
    );
    assert_eq!(plan.mapping.fields[1].max_length, Some(255));
    assert!(
        plan.api().unwrap().update.is_none(),
        "write-back is off unless enabled"
    );
    let warnings: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
    for ignored in [
        "api.type",
        "api.connector",
        "database.type",
        "connection.driver",
        "operations",
        "customers.fields",
    ] {
        assert!(
            warnings
                .iter()
                .any(|warning| warning.contains(&format!("{ignored}` is ignored: "))),
            "{ignored} is not mentioned in {warnings:#?}"
        );
    }
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("there is no `notifications.alert_ops_team`"))
    );
    assert!(
        warnings[0].starts_with("fixtures/config/convention.yaml:"),
        "{}",
        warnings[0]
    );
}

#[test]
fn keys_of_the_convention_are_ignored_below_a_table_too() {
    let plan = changed(&[(
        "      customers: { name: customers, schema: public, primary_key: id, conflict_key: customer_id }\n",
        concat!(
            "      customers:\n",
            "        name: customers\n",
            "        type: table\n",
            "        conflict_key: customer_id\n",
            "        operations:\n",
            "          insert: { query: \"INSERT INTO customers VALUES (:customerId)\" }\n",
            "          update: { query: \"UPDATE customers SET email = :email\", parameters: [email] }\n",
        ),
    )])
    .plan();
    let warnings: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
    for ignored in ["customers.operations", "customers.type"] {
        let expected = format!("{ignored}` is ignored: ");
        assert!(
            warnings.iter().any(|warning| warning.contains(&expected)),
            "{warnings:#?}"
        );
    }
}

#[test]
fn a_schema_may_describe_fields_that_are_not_mapped() {
    let plan = changed(&[(
        "    constraints:\n",
        "    constraints:\n      loyaltyTier: { one_of: [gold, silver] }\n",
    )])
    .plan();
    let warnings: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
    let expected = "`loyaltyTier` has no effect: no field is mapped to it";
    assert!(
        warnings.iter().any(|warning| warning.contains(expected)),
        "{warnings:#?}"
    );
}

#[test]
fn the_long_form_of_a_field() {
    let plan = changed(&[(
        "            record_type: { to: recordType, default: customer }\n",
        concat!(
            "            record_type: { to: recordType, default: 5, one_of: ['5', lead], trim: true, weight: 2.5 }\n",
            "            address.country: { to: country, column: false, required: true, pattern: '[A-Z]{2}' }\n",
            "            seen: { to: seenAt, type: datetime, format: '%d.%m.%Y %H:%M', timezone: Europe/Berlin, column: seen_on }\n",
            "            changed: { to: changedAt, type: datetime, format: epoch_milliseconds, column: false }\n",
            "            active: { to: active, type: boolean, default: true }\n",
            "            visits: { to: visits, type: integer, min: -5, default: 0 }\n",
            "            extra: { to: extra, type: json, default: \"${EXTRA:-{\\\"a\\\":1\\x7d}\" }\n",
        ),
    )]);
    // A default that holds a brace cannot be written inside a reference; the plain form is what is tested here.
    let text = fs::read_to_string(plan.sources.mappings.as_ref().unwrap()).unwrap();
    let plan = Setting::of_text(text.replace("\"${EXTRA:-{\\\"a\\\":1\\x7d}\"", "'[1, 2]'")).plan();
    let field = |name: &str| {
        plan.mapping
            .fields
            .iter()
            .find(|field| field.name == name)
            .unwrap()
    };
    let kind = field("recordType");
    assert_eq!(kind.default.as_deref(), Some("\"5\""));
    assert_eq!(
        (
            kind.one_of.len(),
            kind.trim,
            kind.weight.to_string().as_str()
        ),
        (2, true, "2.5")
    );
    let country = field("country");
    assert_eq!(
        (country.source.as_slice(), &country.column),
        (&["address".to_owned(), "country".to_owned()][..], &None)
    );
    assert!(country.required && country.pattern.as_deref() == Some("[A-Z]{2}"));
    assert_eq!(field("seenAt").column.as_deref(), Some("seen_on"));
    assert_eq!(field("seenAt").timezone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(
        field("changedAt").format.as_deref(),
        Some("epoch_milliseconds")
    );
    assert_eq!(field("active").default.as_deref(), Some("true"));
    assert_eq!(
        (field("visits").default.as_deref(), field("visits").min),
        (Some("0"), Some((-5).into()))
    );
    assert_eq!(
        field("extra").default.as_deref(),
        Some("\"[1, 2]\""),
        "quoted: a JSON string"
    );
}

#[test]
fn write_back_notifications_and_freshness() {
    let plan = changed(&[
        ("enabled: false", "enabled: true"),
        ("# updated_date:", "updated_date:"),
        ("# version_field:", "version_field:"),
        ("# incremental:", "incremental:"),
        ("# - command:", "- command:"),
    ])
    .with("OPS_WEBHOOK_URL", "https://hooks.example.com/canary")
    .with("HEALTHCHECK_URL", "https://hc.example.com/canary")
    .plan();
    let update = plan.api().unwrap().update.as_ref().unwrap();
    assert_eq!(update.endpoint.method, "PUT");
    assert_eq!(
        update.fields[0],
        ("external_id".to_owned(), "customerId".to_owned())
    );
    assert_eq!(update.endpoint.headers.len(), 1, "Accept is the default");
    assert_eq!(
        plan.mapping.fields[plan.mapping.version.unwrap()].name,
        "sourceUpdatedAt"
    );
    assert_eq!(plan.mapping.version_max_ahead, Duration::from_hours(24));
    let incremental = plan.api().unwrap().incremental.as_ref().unwrap();
    assert_eq!(
        (incremental.param.as_str(), incremental.overlap),
        ("updated_since", Duration::from_mins(5))
    );
    let channels = &plan.notifications.teams[0].1;
    assert!(
        matches!(channels.as_slice(), [Channel::Webhook(_), Channel::Command(command)] if command.words.len() == 1 && command.env.is_empty())
    );
    assert!(
        !format!("{plan:?}").contains("canary"),
        "Debug gives a secret away"
    );
}

#[test]
fn retries_of_the_endpoint_win_over_those_of_error_handling() {
    let plan = changed(&[("max_retries: 3", "max_retries: 7")]).plan();
    assert_eq!(plan.api().unwrap().fetch.retry.max_attempts, 3);
    let plan = changed(&[
        ("max_retries: 3", "max_retries: 7"),
        ("max_attempts: 3 ", "# "),
    ])
    .plan();
    assert_eq!(plan.api().unwrap().fetch.retry.max_attempts, 7);
}

#[test]
fn the_configuration_hash_covers_both_files() {
    let mut setting = shipped();
    let decisions = setting.folder.path().join("decisions.dmn.xml");
    setting.sources.decisions = Some(decisions.clone());
    let absent = setting.plan().config_hash;
    fs::write(&decisions, "<a/>").unwrap();
    let first = setting.plan().config_hash;
    fs::write(&decisions, "<b/>").unwrap();
    let second = setting.plan().config_hash;
    let other_mapping = changed(&[("batch_size: 5000", "batch_size: 999")])
        .plan()
        .config_hash;
    assert!(absent != first && first != second && second != other_mapping);
    assert_eq!(setting.plan().config_hash, second);
}
