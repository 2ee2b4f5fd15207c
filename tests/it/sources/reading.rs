//! Reads a source with the program's own client and paging, configured by mappings.yaml, and says how that ended. There is
//! no database here: what is done with records is not looked at.

use std::collections::{BTreeMap, HashSet};

use datasync::api::{ApiError, Client, End, FetchOptions, Page, Pages, Stats};
use datasync::config::plan::Api;
use datasync::config::{Needs, Sources, load_with};

use crate::support::TOKEN;

/// How reading a source ended.
pub struct Reading {
    /// Text of every record, in the order of pages.
    pub records: Vec<String>,
    /// The proof of the end; none when the run is not complete.
    pub proof: Option<String>,
    /// Why it is not complete, for people. Empty: it is.
    pub why_not: String,
    pub requests: u64,
}

impl Reading {
    pub fn is_complete(&self) -> bool {
        self.proof.is_some()
    }

    /// The records without those that came again: a server that answers the last page again and again does so to every
    /// request that is on its way.
    pub fn distinct(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let texts = self.records.iter().map(String::as_str);
        texts.filter(|text| seen.insert(*text)).collect()
    }
}

/// mappings.yaml for a source: where it is, how it is paged, and where id and name are.
pub fn mappings(path: &str, records: &str, pagination: &str, fields: [&str; 2]) -> String {
    let records = if records.is_empty() {
        String::new()
    } else {
        format!("records: {records}")
    };
    let [id, name] = fields;
    format!(
        r"version: 1.0
mappings:
  api:
    base_url: ${{API_BASE_URL}}
    endpoints:
      fetch:
        path: {path}
        timeout: 5s
        max_pages: 300
        retry: {{ max_attempts: 3, initial: 1ms, max: 10ms }}
        pagination: {{ {pagination} }}
        {records}
    transforms:
      incoming:
        - type: json_to_object
          schema: customer_schema
        - type: field_mapping
          fields:
            {id}: customerId
            {name}: customerName
  database:
    connection:
      host: ${{DB_HOST}}
      port: ${{DB_PORT:-5432}}
      database: ${{DB_NAME}}
      username: ${{DB_USER}}
      password: ${{DB_PASSWORD}}
    tables:
      customers: {{ name: customers, schema: public, primary_key: id, conflict_key: customer_id }}
      sync_log: {{ name: sync_log, schema: public }}
validation:
  customer_schema:
    required_fields: [customerId, customerName]
    field_types: {{ customerId: string, customerName: string }}
"
    )
}

/// The plan of the API that mappings.yaml makes.
pub fn plan(url: &str, mappings: &str) -> Api {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mappings.yaml");
    std::fs::write(&file, mappings).unwrap();
    let sources = Sources {
        mappings: Some(file),
        state_dir: Some(folder.path().to_owned()),
        ..Sources::default()
    };
    let needs = Needs {
        api: true,
        database: false,
    };
    let variables = [("API_BASE_URL", url), ("API_TOKEN", TOKEN)]
        .map(|(name, value)| (name.into(), value.into()));
    let plan = load_with(&sources, needs, variables)
        .unwrap_or_else(|errors| panic!("{errors}\n{mappings}"));
    plan.api.unwrap()
}

/// Reads it to its end, with as many threads as pages may be in flight.
pub fn read(api: &Api) -> Reading {
    let pages = Pages::new(api, FetchOptions::default()).unwrap();
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..api.pagination.concurrency.max(1))
            .map(|_| {
                scope.spawn(|| {
                    let client = Client::new(api).unwrap();
                    std::iter::from_fn(|| pages.next(&client)).collect::<Vec<_>>()
                })
            })
            .collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.flatten().collect::<Vec<_>>()
    });
    ended(results, &pages.stats())
}

/// What the pages and the figures say together.
pub fn ended(results: Vec<Result<Page, ApiError>>, stats: &Stats) -> Reading {
    let mut pages = BTreeMap::new();
    let mut why_not = String::new();
    for result in results {
        match result {
            Ok(page) => {
                let index = page.index;
                let known = pages.insert(index, page);
                assert!(known.is_none(), "page {index} was given out twice");
            }
            Err(error) => why_not += &format!("{error}\n"),
        }
    }
    let records = pages.values().flat_map(Page::iter).map(str::to_owned);
    let proof = match &stats.end {
        End::Proven(proof) if why_not.is_empty() => Some(proof.to_string()),
        End::Guessed(why) | End::Moved(why) => {
            why_not += why;
            None
        }
        End::Proven(_) | End::Unknown => None,
    };
    Reading {
        records: records.collect(),
        proof,
        why_not,
        requests: stats.requests,
    }
}
