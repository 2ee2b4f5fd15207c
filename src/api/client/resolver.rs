//! The system's name resolution. It neither connects to an address nor writes a message.

use std::error::Error as StdError;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Name resolution whose error has a type of its own, so that `kind_of` can recognise it.
#[derive(Debug)]
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        Box::pin(async move {
            match tokio::net::lookup_host((host, 0)).await {
                Ok(found) => Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs),
                Err(_) => Err(Unresolved.into()),
            }
        })
    }
}

/// A name without an address.
#[derive(Debug)]
pub(super) struct Unresolved;

impl std::fmt::Display for Unresolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the name could not be resolved")
    }
}

impl StdError for Unresolved {}
