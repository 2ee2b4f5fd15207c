//! A PostgreSQL server on which tests make databases: plain, or the coordinator of a Citus cluster.

use super::postgres::apply_schema;

/// A server on which databases are made.
#[derive(Clone)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// The database from which others are made.
    pub maintenance: String,
}

impl Server {
    pub fn client(&self, name: &str) -> postgres::Client {
        postgres::Config::new()
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .password(&self.password)
            .dbname(name)
            .application_name("test")
            .connect(postgres::NoTls)
            .unwrap_or_else(|error| panic!("no connection to {name}: {error:?}"))
    }

    pub fn maintenance(&self, sql: &str) {
        self.client(&self.maintenance)
            .batch_execute(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The workers, if this is the coordinator of a Citus cluster.
    pub fn citus_workers(&self) -> Option<Vec<Self>> {
        let mut client = self.client(&self.maintenance);
        let found = client
            .simple_query("SELECT FROM pg_extension WHERE extname = 'citus'")
            .expect("the extensions");
        if !found
            .iter()
            .any(|message| matches!(message, postgres::SimpleQueryMessage::Row(_)))
        {
            return None;
        }
        let nodes = client
            .query(
                "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 AND noderole = 'primary' ORDER BY 1, 2",
                &[],
            )
            .expect("the nodes of the Citus cluster");
        let worker = |row: &postgres::Row| Self {
            host: row.get(0),
            port: u16::try_from(row.get::<_, i32>(1)).expect("a port"),
            ..self.clone()
        };
        Some(nodes.iter().map(worker).collect())
    }

    /// A database on this coordinator and on its workers, with schema.sql in the variant for Citus.
    pub fn citus_database(&self, name: &str, workers: &[Self]) {
        for node in workers.iter().chain([self]) {
            node.maintenance(&format!("CREATE DATABASE {name}"));
            node.client(name)
                .batch_execute("CREATE EXTENSION citus")
                .expect("CREATE EXTENSION citus");
        }
        let mut client = self.client(name);
        let mut sql = format!(
            "SELECT citus_set_coordinator_host('{}', {});",
            self.host, self.port
        );
        for worker in workers {
            sql += &format!("SELECT citus_add_node('{}', {});", worker.host, worker.port);
        }
        if workers.is_empty() {
            sql += &format!(
                "SELECT citus_set_node_property('{}', {}, 'shouldhaveshards', true);",
                self.host, self.port
            );
        }
        client.batch_execute(&sql).expect("the nodes of Citus");
        apply_schema(&mut client);
        client
            .batch_execute(
                "SET citus.shard_count = 4; ALTER TABLE customers DROP CONSTRAINT customers_pkey; \
                 SELECT create_distributed_table('customers', 'customer_id')",
            )
            .expect("customers, distributed");
    }
}
