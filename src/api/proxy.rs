//! Names the proxy that requests go through. HTTP libraries obey `HTTP_PROXY` without a word, and a forgotten one is hard to
//! find.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// The proxy for an address, by the same rules the client follows, without credentials.
pub(super) fn of(url: &Url) -> Option<String> {
    name(&Matcher::from_env(), url)
}

fn name(rules: &Matcher, url: &Url) -> Option<String> {
    let destination = url.as_str().parse::<hyper::Uri>().ok()?;
    let proxy = rules.intercept(&destination)?;
    let uri = proxy.uri();
    let port = uri.port_u16().map(|port| format!(":{port}"));
    Some(format!(
        "{}://{}{}",
        uri.scheme_str().unwrap_or("http"),
        uri.host().unwrap_or("?"),
        port.unwrap_or_default()
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_without_its_credentials() {
        let rules = Matcher::builder()
            .http("http://user:secret@proxy.example:3128/x")
            .no("internal.example")
            .build();
        let through = name(&rules, &Url::parse("http://api.example/v1").unwrap());
        assert_eq!(through.as_deref(), Some("http://proxy.example:3128"));
        let direct = name(&rules, &Url::parse("http://internal.example/v1").unwrap());
        assert_eq!(direct, None);
        let other = name(&rules, &Url::parse("https://api.example/v1").unwrap());
        assert_eq!(other, None);
    }
}
