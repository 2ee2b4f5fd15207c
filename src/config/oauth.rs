//! `mappings.api.auth` with `type: oauth2`: how an access token is requested.

use std::path::PathBuf;

use reqwest::Url;

use super::auth::scheme;
use super::database::is_local;
use super::plan::{Grant, OAuth2};
use super::reader::Section;
use super::secret::Secret;

/// Its keys, beside `type`.
pub(super) const KEYS: [&str; 10] = [
    "type",
    "token_url",
    "client_id",
    "client_secret",
    "scopes",
    "audience",
    "grant",
    "refresh_token",
    "credentials_in",
    "scheme",
];

/// Reads the section. The state directory is filled in later, by `load`.
pub(super) fn oauth2(section: &Section<'_>) -> Option<OAuth2> {
    let token_url = section.parse(
        "token_url",
        "https://host/path, or http on this machine, without user and fragment,",
        token_url,
    );
    let client_id = section.text("client_id").map(Secret::new);
    let client_secret = section.text("client_secret").map(Secret::new);
    let refreshes = section
        .choice(
            "grant",
            &[("client_credentials", false), ("refresh_token", true)],
        )
        .unwrap_or(false);
    let refresh_token = section.text("refresh_token").map(Secret::new);
    for (key, is_needed) in [("client_secret", !refreshes), ("refresh_token", refreshes)] {
        let is_there = section.entry(key).is_some();
        if is_needed && !is_there {
            let grant = if refreshes {
                "refresh_token"
            } else {
                "client_credentials"
            };
            section.absent_key(key, format!("`grant: {grant}` needs it"));
        }
        if key == "refresh_token" && is_there && !is_needed {
            section.wrong(
                key,
                "`refresh_token` without `grant: refresh_token`",
                "add the grant, or take the token out",
            );
        }
    }
    let scopes = section
        .values("scopes")
        .into_iter()
        .flat_map(|value| {
            let words = value.text.split_whitespace();
            words.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let grant = if refreshes {
        Grant::RefreshToken(refresh_token?)
    } else {
        Grant::ClientCredentials
    };
    Some(OAuth2 {
        token_url: token_url?,
        client_id: client_id?,
        client_secret,
        scopes,
        audience: section.text("audience"),
        grant,
        credentials_in_body: section
            .choice("credentials_in", &[("header", false), ("body", true)])
            .unwrap_or(false),
        scheme: scheme(section)?,
        state_dir: PathBuf::new(),
    })
}

/// Refuses an address that would send credentials without TLS to another machine.
fn token_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_safe =
        url.scheme() == "https" || (url.scheme() == "http" && url.host_str().is_some_and(is_local));
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (is_safe && is_plain && url.has_host()).then_some(url)
}
