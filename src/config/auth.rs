//! `mappings.api.auth`: how requests prove who sends them. Variables that the chosen form does not use need not be set.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderName, HeaderValue};

use super::oauth::{self, oauth2};
use super::plan::{Auth, Credential};
use super::problem::Problem;
use super::reader::Section;
use super::secret::Secret;

/// The forms of `auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bearer,
    Basic,
    Header,
    Query,
    OAuth2,
    None,
}

const FORMS: [(&str, Form); 6] = [
    ("oauth2", Form::OAuth2),
    ("bearer", Form::Bearer),
    ("basic", Form::Basic),
    ("header", Form::Header),
    ("query", Form::Query),
    ("none", Form::None),
];

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Header => "header",
            Self::Query => "query",
            Self::OAuth2 => "oauth2",
            Self::None => "none",
        }
    }

    /// Its keys.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Bearer => &["type", "scheme"],
            Self::Basic => &["type", "username", "password"],
            Self::Header | Self::Query => &["type", "name", "value"],
            Self::OAuth2 => &oauth::KEYS,
            Self::None => &["type"],
        }
    }

    /// Its required keys.
    const fn needed(self) -> &'static [&'static str] {
        match self {
            Self::Basic => &["username", "password"],
            Self::Header | Self::Query => &["name", "value"],
            Self::OAuth2 => &["token_url", "client_id"],
            Self::Bearer | Self::None => &[],
        }
    }
}

/// The credentials of all requests to the API. Headers of `endpoints` may hold credentials of their own.
pub(super) fn auth(api: &Section<'_>, endpoints: &[&Section<'_>]) -> Auth {
    let any = api.names("auth");
    if !any.is_present() {
        return by_default(endpoints);
    }
    if any.entry("type").is_none() {
        any.absent_key(
            "type",
            "one of bearer, basic, header, query, oauth2 and none",
        );
        return Auth::None;
    }
    let Some(form) = any.choice("type", &FORMS) else {
        return Auth::None;
    };
    let section = api.section("auth", form.keys());
    for key in form.needed() {
        if section.entry(key).is_none() {
            section.absent_key(key, format!("`type: {}` needs it", form.name()));
        }
    }
    let auth = match form {
        Form::Bearer => bearer(&section),
        Form::Basic => basic(&section),
        Form::Header => header(&section),
        Form::Query => query(&section),
        Form::OAuth2 => oauth2(&section).map(|oauth| Auth::OAuth2(Box::new(oauth))),
        Form::None => None,
    }
    .unwrap_or(Auth::None);
    refuse_second_credentials(endpoints, form, &auth);
    auth
}

/// Has an endpoint an Authorization header of its own?
fn has_authorization(endpoint: &Section<'_>) -> bool {
    let headers = endpoint.names("headers");
    headers
        .entries()
        .iter()
        .any(|entry| entry.key.eq_ignore_ascii_case("authorization"))
}

/// Without `auth`: the bearer token `API_TOKEN`. It may be missing if each endpoint has an Authorization header.
fn by_default(endpoints: &[&Section<'_>]) -> Auth {
    let without: Vec<&Section<'_>> = endpoints
        .iter()
        .copied()
        .filter(|endpoint| !has_authorization(endpoint))
        .collect();
    let Some(first) = without.first() else {
        return Auth::None;
    };
    let context = first.context();
    let needed = without.iter().any(|endpoint| endpoint.is_needed());
    let Some(token) = context.variable("API_TOKEN", needed) else {
        context.missing("API_TOKEN", None, needed);
        return Auth::None;
    };
    in_header(
        first,
        "Authorization",
        format!("Bearer {token}"),
        Credential::Token,
    )
    .unwrap_or(Auth::None)
}

fn bearer(section: &Section<'_>) -> Option<Auth> {
    let scheme = scheme(section)?;
    let needed = section.is_needed();
    let token = section.context().variable("API_TOKEN", needed);
    if token.is_none() {
        section.context().missing("API_TOKEN", None, needed);
    }
    let value = format!("{scheme} {}", token?);
    in_header(section, "Authorization", value, Credential::Token)
}

/// The word before a token: `Bearer`, unless the file has another.
pub(super) fn scheme(section: &Section<'_>) -> Option<String> {
    if section.entry("scheme").is_none() {
        return Some("Bearer".to_owned());
    }
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    section.parse("scheme", "a word such as `Bearer` or `Token`", |text| {
        (!text.is_empty() && text.bytes().all(is_letter)).then(|| text.to_owned())
    })
}

fn basic(section: &Section<'_>) -> Option<Auth> {
    let username = section.value("username");
    let password = section.value_or_empty("password");
    let (username, password) = (username?.text, password?.text);
    if username.contains(':') {
        section.wrong(
            "username",
            "a user name cannot contain `:`",
            "HTTP ends the user name at the first colon: what comes after it is the `password`",
        );
        return None;
    }
    let value = format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    );
    in_header(section, "Authorization", value, Credential::Password)
}

fn header(section: &Section<'_>) -> Option<Auth> {
    let name = section.parse(
        "name",
        "the name of a header, such as `X-Api-Key`,",
        |text| {
            HeaderName::from_bytes(text.as_bytes())
                .is_ok()
                .then(|| text.to_owned())
        },
    );
    let value = section.text("value");
    in_header(section, &name?, value?, Credential::Key)
}

fn query(section: &Section<'_>) -> Option<Auth> {
    let (name, value) = (section.text("name"), section.text("value"));
    Some(Auth::Query {
        name: name?,
        value: Secret::new(value?),
    })
}

/// A header with this value; `None` where HTTP does not allow it, which is reported.
fn in_header(
    section: &Section<'_>,
    name: &str,
    value: String,
    credential: Credential,
) -> Option<Auth> {
    if HeaderValue::from_str(&value).is_err() {
        let what = match credential {
            Credential::Token => "API_TOKEN",
            Credential::Password | Credential::Key => "the value of `auth`",
        };
        section.context().problem_if(
            section.is_needed(),
            Problem::new(format!(
                "{what} holds characters that HTTP does not allow in a header"
            ))
            .hint("is there a line break in it?"),
        );
        return None;
    }
    Some(Auth::Header {
        name: name.to_owned(),
        value: Secret::new(value),
        credential,
    })
}

/// Reports headers of endpoints that would send credentials beside those of `auth`.
fn refuse_second_credentials(endpoints: &[&Section<'_>], form: Form, auth: &Auth) {
    for endpoint in endpoints {
        let headers = endpoint.names("headers");
        for entry in headers.entries() {
            let is_same =
                matches!(auth, Auth::Header { name, .. } if name.eq_ignore_ascii_case(&entry.key));
            if is_same || entry.key.eq_ignore_ascii_case("authorization") {
                headers.wrong_key(
                    entry,
                    format!(
                        "`auth` with `type: {}` decides on credentials, and this header sends some too",
                        form.name()
                    ),
                    "take the header out, or take out `auth`",
                );
            }
        }
    }
}
