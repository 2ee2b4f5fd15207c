//! The credentials of a request: where they are sent, and the words for them in messages, which never hold their text.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::super::error::{ApiError, Kind, printable};
use super::config;
use crate::config::plan::{Auth, Credential};
use crate::config::secret::Secret;

/// What goes with every request of a client.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    /// The parameter that is added to an address when a request is sent.
    query: Option<(String, Secret)>,
    pub words: CredentialNames,
}

/// Words about the credentials, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct CredentialNames {
    /// What the API has refused.
    pub refused: &'static str,
    /// What to look at then.
    pub check: &'static str,
    /// What to check if the API knows them but does not allow this request.
    pub known: &'static str,
    /// What `check-api` says when they were accepted.
    pub accepted: &'static str,
}

impl Credentials {
    pub fn new(auth: &Auth) -> Self {
        Self {
            query: match auth {
                Auth::Query { name, value } => Some((name.clone(), value.clone())),
                Auth::Header { .. } | Auth::OAuth2(_) | Auth::None => None,
            },
            words: CredentialNames::of(auth),
        }
    }

    /// The address that is requested, with the key added if it is a parameter. If a link from the API holds the key already,
    /// it is replaced, so that it is not sent twice.
    pub fn address(&self, url: &Url) -> Url {
        let mut url = url.clone();
        if let Some((name, value)) = &self.query {
            if url.query_pairs().any(|(known, _)| known == *name) {
                let others: Vec<(String, String)> = url
                    .query_pairs()
                    .filter(|(known, _)| known != name)
                    .map(|(name, value)| (name.into_owned(), value.into_owned()))
                    .collect();
                url.query_pairs_mut().clear().extend_pairs(others);
            }
            url.query_pairs_mut().append_pair(name, value.expose());
        }
        url
    }

    /// Is this the parameter of the key?
    pub fn is_key(&self, parameter: &str) -> bool {
        self.query
            .as_ref()
            .is_some_and(|(name, _)| name == parameter)
    }
}

impl CredentialNames {
    pub const fn of(auth: &Auth) -> Self {
        match auth {
            Auth::Header {
                credential: Credential::Token,
                ..
            } => Self {
                refused: "the token",
                check: "API_TOKEN: is it complete, current, and meant for this API?",
                known: "API_TOKEN: the token is known",
                accepted: "the token is accepted",
            },
            Auth::Header {
                credential: Credential::Password,
                ..
            } => Self {
                refused: "user name and password",
                check: "`username` and `password` of mappings.api.auth, and the variables they use",
                known: "`username` of mappings.api.auth: the user is known",
                accepted: "user name and password are accepted",
            },
            Auth::Header {
                credential: Credential::Key,
                ..
            }
            | Auth::Query { .. } => Self {
                refused: "the key",
                check: "`value` of mappings.api.auth and the variable it uses: is it complete, current, and meant for this API?",
                known: "`value` of mappings.api.auth: the key is known",
                accepted: "the key is accepted",
            },
            Auth::OAuth2(_) => Self {
                refused: "the access token, also a new one",
                check: "`scopes` and `audience` of mappings.api.auth: is the token meant for this API?",
                known: "`scopes` of mappings.api.auth: the token is known",
                accepted: "the access token is accepted",
            },
            Auth::None => Self {
                refused: "a request without credentials of `auth`",
                check: "mappings.api.auth, API_TOKEN, and the headers of the endpoint",
                known: "mappings.api.auth: the request is understood",
                accepted: "no token is needed",
            },
        }
    }
}

/// Adds the header that `auth` asks for.
pub(super) fn add_header(headers: &mut HeaderMap, auth: &Auth) -> Result<(), ApiError> {
    let Auth::Header {
        name,
        value,
        credential,
    } = auth
    else {
        return Ok(());
    };
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| config(format!("`{}` is not a header name", printable(name, 60))))?;
    let mut value = HeaderValue::from_str(value.expose()).map_err(|_| match credential {
        Credential::Token => ApiError::new(
            Kind::Config,
            "API_TOKEN holds characters that no header can carry",
            "check API_TOKEN for line breaks and stray characters",
        ),
        Credential::Password | Credential::Key => {
            config("the value of `auth` holds characters that no header can carry".to_owned())
        }
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}
