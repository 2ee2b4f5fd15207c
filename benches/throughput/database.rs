//! The database that is loaded: made anew from a template for each contestant, and asked what a load did to it. It must not
//! know who loads.

use std::env;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use postgres::{Client, Config, NoTls};

use crate::measure::Measured;

/// Name of the database that contestants load.
pub const NAME: &str = "bench";

/// A private cluster, as `scripts/with-postgres` provides it.
pub struct Database {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// Database with the schema applied, from which the others are made.
    template: String,
    /// Folder of `psql`.
    pub programs: String,
    admin: Client,
}

impl Database {
    /// Connects, and applies the schema to the template by the program itself.
    pub fn from_environment() -> anyhow::Result<Self> {
        let variable = |name| {
            env::var(name).with_context(|| {
                format!(
                    "{name} is not set: run scripts/with-postgres cargo bench --bench throughput"
                )
            })
        };
        let host = variable("DB_HOST")?;
        let port = variable("DB_PORT")?.parse()?;
        let user = variable("DB_USER")?;
        let password = variable("DB_PASSWORD")?;
        let template = variable("DB_NAME")?;
        let applied = Command::new(env!("CARGO_BIN_EXE_datasync"))
            .args(["check-db", "--apply-schema", "-q"])
            .env("DB_SSLMODE", "disable")
            .env("DATASYNC_ENV_FILE", "/dev/null")
            .status()?;
        ensure!(applied.success(), "check-db --apply-schema: {applied}");
        let mut admin = Config::new();
        admin
            .host(&host)
            .port(port)
            .user(&user)
            .password(&password)
            .dbname("postgres");
        Ok(Self {
            admin: admin.connect(NoTls)?,
            host,
            port,
            user,
            password,
            template,
            programs: variable("PG_BIN")?,
        })
    }

    /// A connection to the database that is loaded.
    pub fn connect(&self) -> anyhow::Result<Client> {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .password(&self.password)
            .dbname(NAME);
        Ok(config.connect(NoTls)?)
    }

    /// Empty tables, nothing in the way of a checkpoint.
    pub fn recreate(&mut self) -> anyhow::Result<()> {
        self.admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"))?;
        self.admin.batch_execute(&format!(
            "CREATE DATABASE {NAME} TEMPLATE {}",
            self.template
        ))?;
        Ok(())
    }

    /// Gives the table the column types of the mappings convention instead of those of schema.sql.
    pub fn convention(&self) -> anyhow::Result<()> {
        self.connect()?.batch_execute(
            "ALTER TABLE customers ALTER quality_score TYPE integer, ALTER created_at TYPE timestamp",
        )?;
        Ok(())
    }

    /// Customers that are there.
    pub fn rows(&self) -> anyhow::Result<u64> {
        let row = self
            .connect()?
            .query_one("SELECT count(*) FROM customers", &[])?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
    }

    /// Runs a load, if it can be, and adds what PostgreSQL says about it.
    pub fn measured(
        &mut self,
        load: impl FnOnce(&Self) -> anyhow::Result<Option<Measured>>,
    ) -> anyhow::Result<Option<Measured>> {
        // Full-page images after a checkpoint are part of the cost, for everyone alike.
        self.admin.batch_execute("CHECKPOINT")?;
        let (wal_before, dead_before) = self.counters()?;
        let Some(measured) = load(self)? else {
            return Ok(None);
        };
        let (wal_after, dead_after) = self.counters()?;
        Ok(Some(Measured {
            wal_bytes: wal_after.saturating_sub(wal_before),
            dead_rows: dead_after.saturating_sub(dead_before),
            ..measured
        }))
    }

    /// Position of the write-ahead log in bytes, and versions of customers that were updated or deleted so far.
    fn counters(&self) -> anyhow::Result<(u64, u64)> {
        // Back ends report their counts when they exit: give the last one a moment.
        std::thread::sleep(Duration::from_millis(200));
        let row = self.connect()?.query_one(
            "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint,
                    (SELECT coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint
                     FROM pg_stat_user_tables WHERE relname = 'customers')",
            &[],
        )?;
        Ok((
            u64::try_from(row.get::<_, i64>(0))?,
            u64::try_from(row.get::<_, i64>(1))?,
        ))
    }
}
