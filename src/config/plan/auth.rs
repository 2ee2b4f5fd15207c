//! The plan of authentication: what goes with every request to the API.

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
