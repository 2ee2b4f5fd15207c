//! Placeholder: the private PostgreSQL cluster.
