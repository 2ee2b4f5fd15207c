//! How PostgreSQL is reached: the settings of the driver, and plain text where TLS is preferred and cannot be had.

use std::time::Duration;

use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::StoreError;
use crate::config::plan::{Database, SslMode};

/// What is exchanged with the server, on the side of the driver.
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
        // Both are needed: keepalives cover waiting for a reply, the user timeout unacknowledged writes.
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

/// A host that is a path is the folder of a Unix socket: local, hence without TLS.
pub(super) fn is_socket(host: &str) -> bool {
    host.starts_with('/')
}

/// SQLSTATE of what `pg_hba.conf` lets nobody do, and of a role that may not log in.
const NOT_LET_IN: &str = "28000";

/// `prefer` tries once more in plain text where TLS failed, or `pg_hba.conf` does not let the encrypted connection in.
fn without_tls(config: &Config, failed: &StoreError) -> Option<Config> {
    let preferred = config.get_ssl_mode() == tokio_postgres::config::SslMode::Prefer;
    let by_tls = failed.kind() == "tls" || failed.sqlstate() == Some(NOT_LET_IN);
    (preferred && by_tls).then(|| {
        let mut plain = config.clone();
        plain.ssl_mode(tokio_postgres::config::SslMode::Disable);
        plain
    })
}

/// Which of two failures explains more: the later one, unless plain text is simply not let in.
fn more_telling(encrypted: StoreError, plain: StoreError) -> StoreError {
    if plain.sqlstate() == Some(NOT_LET_IN) {
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
        .map_err(|error| more_telling(failed, StoreError::from_driver(what, &error)))
}

/// Exchanges messages with the server until the connection ends.
pub(super) async fn drive(exchange: Exchange) {
    if let Err(error) = exchange.await {
        // Whoever waits for an answer hears of it; the code is all that may be shown.
        log::debug!(
            "a connection to the database ended: {}",
            error.code().map_or("the link broke", |code| code.code())
        );
    }
}
