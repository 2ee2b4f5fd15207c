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
    /// By a query parameter. It is added only when a request is sent, so that no other address holds it.
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
    /// How an access token is requested; none for other forms.
    pub fn oauth2(&self) -> Option<&OAuth2> {
        match self {
            Self::OAuth2(oauth) => Some(oauth),
            _ => None,
        }
    }
}

/// How an access token is requested.
#[derive(Clone, Debug)]
pub struct OAuth2 {
    /// The token endpoint. It may be of another origin than the API.
    pub token_url: reqwest::Url,
    /// The client's id.
    pub client_id: Secret,
    /// None for public clients, which have only a refresh token.
    pub client_secret: Option<Secret>,
    /// What the token is to allow.
    pub scopes: Vec<String>,
    /// Which API the token is for.
    pub audience: Option<String>,
    /// The grant by which it is requested.
    pub grant: Grant,
    /// The client's credentials go into the body instead of a header.
    pub credentials_in_body: bool,
    /// The word before the token in the Authorization header of a request.
    pub scheme: String,
    /// Where refresh tokens that the server changes are stored.
    pub state_dir: PathBuf,
}

/// The grant by which an access token is requested.
#[derive(Clone, Debug)]
pub enum Grant {
    /// The client acts for itself.
    ClientCredentials,
    /// The client acts for a person who has given consent once; holds the configured refresh token.
    RefreshToken(Secret),
}

/// The kind of credential in a header, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `API_TOKEN`.
    Token,
    /// User name and password.
    Password,
    /// A key of `auth`.
    Key,
}
