//! `DATABASE_URL`: each of its parameters means what it means to libpq, or is refused.

use std::time::Duration;

use super::plan::SslMode;
use super::problem::Problem;
use super::reader::Section;
use super::secret::Secret;

pub(super) const SSL_MODES: [(&str, SslMode); 5] = [
    ("disable", SslMode::Disable),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// The hint for a setting that names several hosts.
pub(super) const ONE_HOST: &str =
    "name the server that takes writes: a virtual address, a proxy or a pooler that follows it";

/// The variables that take the place of `DATABASE_URL`.
const OWN_VARIABLES: [&str; 5] = ["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"];

pub(super) fn parse_ssl_mode(text: &str) -> Option<SslMode> {
    SSL_MODES
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, mode)| *mode)
}

/// The parts of a `DATABASE_URL`.
pub(super) struct DatabaseUrl {
    pub host: String,
    pub port: u16,
    pub name: String,
    pub user: String,
    pub password: Secret,
    pub ssl_mode: Option<SslMode>,
    pub ssl_root_cert: Option<String>,
    pub ssl_cert: Option<String>,
    pub ssl_key: Option<String>,
    pub connect_timeout: Option<Duration>,
}

/// `DATABASE_URL`, used only when none of the five variables is set.
pub(super) fn database_url(connection: &Section<'_>) -> Result<Option<DatabaseUrl>, Unusable> {
    let context = connection.context();
    let needed = connection.is_needed();
    let Some(text) = context.variable("DATABASE_URL", needed) else {
        return Ok(None);
    };
    if let Some(name) = OWN_VARIABLES
        .iter()
        .find(|name| context.defined(name, needed).is_some())
    {
        context.warn(Problem::new(format!(
            "DATABASE_URL is ignored, since {name} is set"
        )));
        return Ok(None);
    }
    match parse_url(&text) {
        Ok(url) => Ok(Some(url)),
        Err(reason) => {
            context.problem_if(
                needed,
                Problem::new(format!("DATABASE_URL: {reason}"))
                    .hint("expected postgresql://user:password@host:port/database?sslmode=verify-full, special characters percent-encoded"),
            );
            Err(Unusable)
        }
    }
}

/// There is a `DATABASE_URL` with a mistake, which has been reported.
pub(super) struct Unusable;

/// What is read from the parameters of the URL.
#[derive(Default)]
struct Parameters<'a> {
    ssl_mode: Option<SslMode>,
    ssl_root_cert: Option<String>,
    ssl_cert: Option<String>,
    ssl_key: Option<String>,
    connect_timeout: Option<Duration>,
    /// Parts of the address, as they stand.
    address: Vec<&'a str>,
}

impl<'a> Parameters<'a> {
    /// Each parameter does what libpq has it do, or is refused.
    fn read(query: &'a str) -> Result<Self, String> {
        let mut parameters = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            {
                return Err("what follows the `?` is no list of parameters".to_owned());
            }
            parameters.add(pair, name, value)?;
        }
        Ok(parameters)
    }

    fn add(&mut self, pair: &'a str, name: &str, value: &str) -> Result<(), String> {
        let decoded =
            || percent_decode(value).ok_or_else(|| format!("`{name}` is not valid UTF-8"));
        match name {
            "sslmode" => {
                self.ssl_mode = Some(parse_ssl_mode(&decoded()?).ok_or("unknown sslmode")?);
            }
            "sslrootcert" => self.ssl_root_cert = Some(decoded()?),
            "sslcert" => self.ssl_cert = Some(decoded()?),
            "sslkey" => self.ssl_key = Some(decoded()?),
            "connect_timeout" => {
                let seconds: u64 = decoded()?
                    .parse()
                    .map_err(|_| "connect_timeout is no number of seconds")?;
                self.connect_timeout = Some(Duration::from_secs(seconds.clamp(1, 3_600)));
            }
            "host" | "port" | "user" | "password" | "dbname" => self.address.push(pair),
            // These ask for what holds anyway: there is one host, and it has to take writes.
            "channel_binding" if decoded()? == "prefer" => {}
            "target_session_attrs"
                if ["any", "read-write", "primary"].contains(&decoded()?.as_str()) => {}
            "application_name" if decoded()? == "datasync" => {}
            _ => return Err(refusal(name)),
        }
        Ok(())
    }
}

/// Reads the URL. The reason why it cannot be used never quotes a value.
fn parse_url(text: &str) -> Result<DatabaseUrl, String> {
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    check_login(base, query)?;
    let parameters = Parameters::read(query)?;
    let rest = if parameters.address.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", parameters.address.join("&"))
    };
    let config: tokio_postgres::Config = rest
        .parse()
        .map_err(|_| "it is not a valid address".to_owned())?;
    let host = match config.get_hosts() {
        [tokio_postgres::config::Host::Tcp(host)] => host.clone(),
        [tokio_postgres::config::Host::Unix(path)] => path.display().to_string(),
        [] => return Err("it has no host".to_owned()),
        _ => return Err(format!("it has more than one host; {ONE_HOST}")),
    };
    let user = config
        .get_user()
        .filter(|user| !user.is_empty())
        .ok_or("it has no user")?
        .to_owned();
    let password = config
        .get_password()
        .map(String::from_utf8_lossy)
        .unwrap_or_default()
        .into_owned();
    Ok(DatabaseUrl {
        host,
        port: config.get_ports().first().copied().unwrap_or(5432),
        name: config
            .get_dbname()
            .filter(|name| !name.is_empty())
            .unwrap_or(&user)
            .to_owned(),
        user,
        password: Secret::new(password),
        ssl_mode: parameters.ssl_mode,
        ssl_root_cert: parameters.ssl_root_cert,
        ssl_cert: parameters.ssl_cert,
        ssl_key: parameters.ssl_key,
        connect_timeout: parameters.connect_timeout,
    })
}

/// Of an address that is taken apart at the wrong place, a part of the password would be the host.
fn check_login(base: &str, query: &str) -> Result<(), String> {
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| base.strip_prefix(scheme))
        .ok_or("it does not start with postgresql://")?;
    let signs = rest.matches('@').count() + query.matches('@').count();
    if signs > 1 || (query.contains('@') && !rest.contains('@')) {
        return Err("an `@` that does not stand before the host has to be written %40".to_owned());
    }
    let login = rest.split_once('@').map_or("", |(login, _)| login);
    if login.contains('/') {
        return Err("a `/` in the user name or the password has to be written %2F".to_owned());
    }
    Ok(())
}

/// Why a parameter of the URL, or its value, is refused.
fn refusal(name: &str) -> String {
    let instead = match name {
        "sslpassword" => {
            "let sslkey name a key that is not encrypted, and that its owner alone can read"
        }
        "channel_binding" => "datasync prefers it, and can neither require nor forbid it",
        "options" => "datasync sets what it needs in each transaction",
        "application_name" => "it is always `datasync`",
        "target_session_attrs" => "datasync needs a server that takes writes",
        "passfile" | "service" => "the password is in the URL, or in DB_PASSWORD",
        _ => "leave it out",
    };
    format!("the parameter `{name}`, or its value, is not supported: {instead}")
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let (high, low) = (char::from(rest.next()?), char::from(rest.next()?));
                u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_read_whole() {
        let text = "postgresql://sync%40app:p%24a%20ss@db.example.com:6543/crm?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&sslcert=%2Fetc%2Fus.pem&sslkey=%2Fetc%2Fus.key&connect_timeout=7&channel_binding=prefer&target_session_attrs=read-write";
        let url = parse_url(text).unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.name.as_str()),
            ("db.example.com", 6543, "crm")
        );
        assert_eq!(
            (url.user.as_str(), url.password.expose()),
            ("sync@app", "p$a ss")
        );
        assert_eq!(url.ssl_mode, Some(SslMode::VerifyFull));
        assert_eq!(url.ssl_root_cert.as_deref(), Some("/etc/ca.pem"));
        assert_eq!(
            (url.ssl_cert.as_deref(), url.ssl_key.as_deref()),
            (Some("/etc/us.pem"), Some("/etc/us.key"))
        );
        assert_eq!(url.connect_timeout, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_url_of_a_socket() {
        let url = parse_url("postgres://sync@%2Fvar%2Frun%2Fpostgresql/crm").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("/var/run/postgresql", 5432));
        assert!(url.password.is_empty());
    }

    #[test]
    fn bad_urls_are_refused_without_being_quoted() {
        for text in [
            "hunter2",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h/d?sslmode=hunter2",
            "postgres://u:hunter2@a,b/d",
            "postgres://u:hunter2@h:port/d",
            "postgres://:hunter2@h/d",
        ] {
            let reason = parse_url(text)
                .err()
                .unwrap_or_else(|| panic!("accepted {text}"));
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn a_parameter_that_would_be_dropped_is_refused_by_name() {
        for (pair, name) in [
            ("sslpassword=hunter2", "sslpassword"),
            ("channel_binding=require", "channel_binding"),
            ("options=-c%20search_path%3Dx", "options"),
            ("application_name=crm", "application_name"),
            ("target_session_attrs=standby", "target_session_attrs"),
            ("passfile=%2Fhome%2Fme%2F.pgpass", "passfile"),
            ("gssencmode=disable", "gssencmode"),
        ] {
            let reason = parse_url(&format!("postgres://u:p@h/d?sslmode=require&{pair}"))
                .err()
                .unwrap_or_else(|| panic!("accepted {pair}"));
            assert!(reason.contains(&format!("`{name}`")), "{reason}");
        }
    }

    #[test]
    fn of_a_password_with_an_unescaped_character_nothing_is_shown() {
        for text in [
            "postgres://u:p@hunter2@h/d",
            "postgres://u:p?hunter2@h/d",
            "postgres://u:p/hunter2@h/d",
            "postgres://u:p?a=b&hunter2@h/d",
            "postgres://u:p@h/d?hunter2%20=x",
        ] {
            let reason = parse_url(text)
                .err()
                .unwrap_or_else(|| panic!("accepted {text}"));
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }
}
