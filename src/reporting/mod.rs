//! What a run leaves behind for people and for their monitoring.

pub mod alert; // alerts about a case, and the dead man's switch
pub mod case; // an incident and its five steps
pub mod incident; // cases that runs open and close
pub mod local_log; // log rows of finished runs, on disk while the database is away
pub mod metrics; // a run's figures for Prometheus
pub mod past_runs; // the last runs, from database and state directory
pub mod report; // what a run prints, and its page for a browser
