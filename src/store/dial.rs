//! How PostgreSQL is reached: the settings of the driver, and plain text where TLS is preferred but impossible.

use std::time::Duration;

use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::StoreError;
use crate::config::plan::{Database, SslMode};

/// The driver's task that exchanges messages with the server.
type Exchange =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// What is being done, for messages. The address comes first: operators need it most.
pub(super) fn what(db: &Database) -> String {
    if is_socket(&db.host) {
        format!(
            "connecting to PostgreSQL at {}/.s.PGSQL.{}",
            db.host, db.port
        )
    } else {
        format!("connecting to PostgreSQL at {} port {}", db.host, db.port)
    }
}

/// The driver's settings for a database, without TLS.
pub(super) fn driver_config(db: &Database, limit: Duration) -> Config {
    let mut config = Config::new();
    config
        .host(&db.host)
        .port(db.port)
        .dbname(&db.name)
        .user(&db.user)
        .application_name("datasync")
        .connect_timeout(limit)
        // Both are needed: keepalives cover waiting for a reply, and the user timeout covers unacknowledged writes.
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(25));
    if !db.password.is_empty() {
        config.password(db.password.expose());
    }
    config.ssl_mode(match db.ssl_mode {
        _ if is_socket(&db.host) => tokio_postgres::config::SslMode::Disable,
        SslMode::Disable => tokio_postgres::config::SslMode::Disable,
        SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
            tokio_postgres::config::SslMode::Require
        }
    });
    config
}

/// True for the folder of a Unix socket, which needs no TLS.
pub(super) fn is_socket(host: &str) -> bool {
    host.starts_with('/')
}

/// The SQLSTATE of a connection that `pg_hba.conf` refuses, and of a role that may not log in.
const INVALID_AUTHORIZATION: &str = "28000";

/// With `prefer`: the settings for a second try in plain text, if TLS failed or `pg_hba.conf` refuses encrypted connections.
fn without_tls(config: &Config, failed: &StoreError) -> Option<Config> {
    let preferred = config.get_ssl_mode() == tokio_postgres::config::SslMode::Prefer;
    let by_tls = failed.kind() == "tls" || failed.sqlstate() == Some(INVALID_AUTHORIZATION);
    (preferred && by_tls).then(|| {
        let mut plain = config.clone();
        plain.ssl_mode(tokio_postgres::config::SslMode::Disable);
        plain
    })
}

/// Which of two failures to report: that in plain text, unless it only says that plain text is refused.
fn error_to_report(encrypted: StoreError, plain: StoreError) -> StoreError {
    if plain.sqlstate() == Some(INVALID_AUTHORIZATION) {
        encrypted
    } else {
        plain
    }
}

/// Connects and authenticates. `what` begins the message of an error.
pub(super) async fn connect(
    config: &Config,
    connector: MakeRustlsConnect,
    what: &str,
) -> Result<(Client, Exchange), StoreError> {
    let failed = match config.connect(connector.clone()).await {
        Ok(parts) => return Ok(parts),
        Err(error) => StoreError::from_driver(what, &error),
    };
    let Some(plain) = without_tls(config, &failed) else {
        return Err(failed);
    };
    log::debug!("{failed}; once more in plain text");
    plain
        .connect(connector)
        .await
        .map_err(|error| error_to_report(failed, StoreError::from_driver(what, &error)))
}

/// Exchanges messages with the server until the connection ends.
pub(super) async fn drive(exchange: Exchange) {
    if let Err(error) = exchange.await {
        // The pending call returns the error. Only its code may be shown here.
        log::debug!(
            "a connection to the database ended: {}",
            error.code().map_or("the link broke", |code| code.code())
        );
    }
}
