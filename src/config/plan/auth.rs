//! The plan of authentication: what goes with every request to the API.

use std::path::PathBuf;

use super::super::secret::Secret;

/// How requests prove who sends them.
#[derive(Clone, Debug)]
pub enum Auth {
    /// They do not; a header of the endpoint may.
    None,
    /// By a header that is always the same.
    Header {
        /// The name of the header.
        name: String,
        /// Its value.
        value: Secret,
        /// What the value is.
        credential: Credential,
    },
    /// By a query parameter, which is added when a request is sent, and is in no address before.
    Query {
        /// The name of the parameter.
        name: String,
        /// Its value.
        value: Secret,
    },
    /// By an access token of OAuth 2.
    OAuth2(Box<OAuth2>),
}

impl Auth {
    /// How an access token is asked for, where that is so.
    pub fn oauth2(&self) -> Option<&OAuth2> {
        match self {
            Self::OAuth2(oauth) => Some(oauth),
            _ => None,
        }
    }
}

/// Where an access token is asked for, by whom, and for what.
#[derive(Clone, Debug)]
pub struct OAuth2 {
    /// The token endpoint. It may be of another origin than the API.
    pub token_url: reqwest::Url,
    /// Who asks.
    pub client_id: Secret,
    /// None for public clients, which only know their refresh token.
    pub client_secret: Option<Secret>,
    /// What the token shall be good for.
    pub scopes: Vec<String>,
    /// Which API it shall be good for.
    pub audience: Option<String>,
    /// By which right it is asked for.
    pub grant: Grant,
    /// The client's credentials go into the body instead of a header.
    pub credentials_in_body: bool,
    /// The word before the token in the Authorization header of a request.
    pub scheme: String,
    /// Where refresh tokens that the server changes are kept.
    pub state_dir: PathBuf,
}

/// By which right an access token is asked for.
#[derive(Clone, Debug)]
pub enum Grant {
    /// The client's own.
    ClientCredentials,
    /// That of a person who has consented once.
    RefreshToken(Secret),
}

/// What a header proves the sender by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `API_TOKEN`.
    Token,
    /// User name and password.
    Password,
    /// A key of `auth`.
    Key,
}
