//! Finds out which proxy requests go through. HTTP libraries obey `HTTP_PROXY` silently, so messages have to name it.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// The proxy for an address, without credentials. None: switch the client's proxy off, since it knows less of `NO_PROXY`.
pub fn of(url: &Url) -> Option<String> {
    let direct = ["NO_PROXY", "no_proxy"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    if direct.is_some_and(|list| is_direct(&list, url)) {
        return None;
    }
    name(&Matcher::from_env(), url)
}

/// True if a list such as `localhost, 10.0.0.0/8, *` contains this address. The client's own matcher compares names,
/// addresses and networks. This function adds what it lacks: `*` for addresses, ports, and blanks as separators.
fn is_direct(list: &str, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let entries = list.split([',', ' ', ';']).map(str::trim);
    entries.filter(|entry| !entry.is_empty()).any(|entry| {
        let alone = entry.strip_suffix(&format!(":{port}")).unwrap_or(entry);
        let alone = alone.trim_start_matches('[').trim_end_matches(']');
        let by_matcher = Matcher::builder()
            .all("http://proxy.invalid")
            .no(alone)
            .build();
        entry == "*"
            || alone.eq_ignore_ascii_case(host.trim_matches(['[', ']']))
            || name(&by_matcher, url).is_none()
    })
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

    #[test]
    fn every_usual_form_of_no_proxy_is_obeyed() {
        let is = |list: &str, url: &str| is_direct(list, &Url::parse(url).unwrap());
        for (list, url) in [
            ("*", "http://127.0.0.1:80/x"),
            ("*", "https://api.example"),
            ("example.com,10.1.2.3", "http://10.1.2.3:8080"),
            ("example.com 10.1.2.3", "http://10.1.2.3:8080"),
            ("10.0.0.0/8", "https://10.1.2.3"),
            ("10.1.2.3:8080", "http://10.1.2.3:8080"),
            ("api.example:443", "https://api.example"),
            (".example", "https://api.example"),
            ("example", "https://api.example"),
            ("::1", "http://[::1]:80"),
            ("[::1]", "http://[::1]:80"),
            ("fd00::/8", "http://[fd00::5]"),
        ] {
            assert!(is(list, url), "{list} does not name {url}");
        }
        for (list, url) in [
            ("", "http://10.1.2.3"),
            ("10.1.2.4", "http://10.1.2.3"),
            ("10.0.0.0/24", "http://10.1.2.3"),
            ("10.1.2.3:81", "http://10.1.2.3"),
            ("ample", "https://api.example"),
        ] {
            assert!(!is(list, url), "{list} names {url}");
        }
    }
}
