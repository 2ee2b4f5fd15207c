//! The recipes in examples/sources: each is run as it stands against a server that answers as the product does, with its
//! credentials, its names and its types, down to the table.

use serde_json::{Value, json};

use super::shape::Shape;
use super::shapes;
use crate::support::Workplace;
use crate::support::http::{Reply, Request, Server};
use crate::support::postgres::Database;

/// A recipe, and the source it is for.
struct Recipe {
    /// `stripe` is examples/sources/stripe.yaml.
    name: &'static str,
    source: Source,
    path: &'static str,
    record: fn(usize) -> Value,
    /// Variables that the recipe names.
    variables: &'static [(&'static str, &'static str)],
    /// A header that every request has.
    header: (&'static str, &'static str),
    /// The row of record 2: key, name, email, type and when it was created.
    stored: &'static str,
}

/// Where recipes with OAuth 2 get their access tokens in a test.
const TOKEN_PATH: &str = "/token";

fn token() -> Reply {
    let json = vec![("Content-Type", "application/json".to_owned())];
    let text = json!({ "access_token": SECRET, "token_type": "Bearer", "expires_in": 3600 });
    Reply::Instead(200, json, text.to_string())
}

/// The body of the answer to a request, of a source with so many records.
type Answer = fn(&Request, usize, fn(usize) -> Value) -> Value;

/// How the source answers.
enum Source {
    /// As this shape in docs/sources.md.
    Shape(&'static str),
    /// By this body to a request, with so many records in all.
    Body(Answer),
}

const SECRET: &str = "canary-secret-7f";

const RECIPES: [Recipe; 10] = [
    Recipe {
        name: "salesforce",
        source: Source::Shape("Salesforce"),
        path: "/services/data/v62.0/query",
        record: |number| {
            json!({
                "attributes": { "type": "Contact" }, "Id": format!("003{number:015}"), "Name": "Ada Lovelace",
                "Email": format!("ada{number}@example.com"), "LeadSource": null,
                "CreatedDate": "2024-01-31T10:00:00.000+0000", "SystemModstamp": "2024-02-01T10:00:00.000+0000",
            })
        },
        variables: &[
            ("SF_TOKEN_URL", "{origin}/token"),
            ("SF_CLIENT_ID", "app"),
            ("SF_CLIENT_SECRET", "canary-client"),
        ],
        header: ("authorization", "Bearer canary-secret-7f"),
        stored: "003000000000000002|Ada Lovelace|ada2@example.com|contact|2024-01-31 10:00:00",
    },
    Recipe {
        name: "microsoft-graph",
        source: Source::Shape("Microsoft Graph"),
        path: "/v1.0/users",
        record: |number| {
            json!({
                "id": format!("6f9619ff-8b86-d011-b42d-{number:012}"), "displayName": "Ada Lovelace", "mail": null,
                "otherMails": [format!("ada{number}@example.com")], "userType": "Member",
                "createdDateTime": "2024-01-31T10:00:00Z",
            })
        },
        variables: &[
            ("GRAPH_TOKEN_URL", "{origin}/token"),
            ("GRAPH_CLIENT_ID", "app"),
            ("GRAPH_CLIENT_SECRET", "canary-client"),
        ],
        header: ("authorization", "Bearer canary-secret-7f"),
        stored: "6f9619ff-8b86-d011-b42d-000000000002|Ada Lovelace|ada2@example.com|Member|2024-01-31 10:00:00",
    },
    Recipe {
        name: "stripe",
        source: Source::Shape("Stripe"),
        path: "/v1/customers",
        record: |number| {
            json!({
                "id": format!("cus_{number:014}"), "object": "customer", "name": "Ada Lovelace",
                "email": format!("ada{number}@example.com"), "created": 1_700_000_000 + number, "delinquent": false,
                "address": { "country": "GB" }, "metadata": {}, "balance": 0,
            })
        },
        variables: &[("API_TOKEN", SECRET)],
        header: ("authorization", "Bearer canary-secret-7f"),
        stored: "cus_00000000000002|Ada Lovelace|ada2@example.com|customer|2023-11-14 22:13:22",
    },
    Recipe {
        name: "hubspot",
        source: Source::Shape("HubSpot"),
        path: "/crm/v3/objects/contacts",
        record: |number| {
            json!({
                "id": number.to_string(),
                "properties": {
                    "firstname": "Ada", "lastname": if number == 2 { Value::Null } else { json!("Lovelace") },
                    "email": format!("ada{number}@example.com"), "lifecyclestage": "customer",
                },
                "createdAt": "2024-01-31T10:00:00.123Z", "updatedAt": "2024-02-01T10:00:00.000Z", "archived": false,
            })
        },
        variables: &[("API_TOKEN", SECRET)],
        header: ("authorization", "Bearer canary-secret-7f"),
        stored: "2|Ada|ada2@example.com|customer|2024-01-31 10:00:00.123",
    },
    Recipe {
        name: "shopify",
        source: Source::Shape("Shopify"),
        path: "/admin/api/2025-07/customers.json",
        record: |number| {
            json!({
                "id": 207_119_551_u64 + number as u64, "first_name": "Ada", "last_name": "Lovelace", "phone": null,
                "email": if number == 2 { json!("") } else { json!(format!("ada{number}@example.com")) },
                "default_address": { "phone": "555-625-1199" },
                "created_at": "2024-01-31T05:00:00-05:00", "updated_at": "2024-02-01T05:00:00-05:00",
            })
        },
        variables: &[("API_TOKEN", SECRET)],
        header: ("x-shopify-access-token", SECRET),
        stored: "207119553|Ada Lovelace||customer|2024-01-31 10:00:00",
    },
    Recipe {
        name: "zendesk",
        source: Source::Shape("Zendesk, cursors"),
        path: "/api/v2/users",
        record: |number| {
            json!({
                "id": 35_436 + number, "name": "Ada Lovelace", "email": format!("ada{number}@example.com"), "role": "end-user",
                "suspended": false, "created_at": "2024-01-31T10:00:00Z", "updated_at": "2024-02-01T10:00:00Z",
            })
        },
        variables: &[
            ("ZENDESK_USER", "anna@example.com/token"),
            ("ZENDESK_TOKEN", SECRET),
        ],
        header: (
            "authorization",
            "Basic YW5uYUBleGFtcGxlLmNvbS90b2tlbjpjYW5hcnktc2VjcmV0LTdm",
        ),
        stored: "35438|Ada Lovelace|ada2@example.com|end-user|2024-01-31 10:00:00",
    },
    Recipe {
        name: "woocommerce",
        source: Source::Shape("WooCommerce"),
        path: "/wp-json/wc/v3/customers",
        record: |number| {
            json!({
                "id": number, "date_created_gmt": "2024-01-31T10:00:00", "date_modified_gmt": if number == 3 { Value::Null } else { json!("2024-02-01T10:00:00") },
                "email": format!("ada{number}@example.com"), "first_name": "Ada", "last_name": "Lovelace", "role": "customer",
                "username": "ada", "billing": { "phone": "" },
            })
        },
        variables: &[("WC_KEY", "ck_1"), ("WC_SECRET", SECRET)],
        header: ("authorization", "Basic Y2tfMTpjYW5hcnktc2VjcmV0LTdm"),
        stored: "2|Ada Lovelace|ada2@example.com|customer|2024-01-31 10:00:00",
    },
    Recipe {
        name: "django-rest-framework",
        source: Source::Shape("Django REST framework, PageNumberPagination"),
        path: "/api/customers/",
        record: |number| {
            json!({
                "id": number, "name": "Ada Lovelace", "email": format!("ada{number}@example.com"), "kind": "lead",
                "created_at": "2024-01-31T10:00:00.123456Z", "updated_at": "2024-02-01T11:00:00+01:00",
            })
        },
        variables: &[("API_TOKEN", SECRET)],
        header: ("authorization", "Token canary-secret-7f"),
        stored: "2|Ada Lovelace|ada2@example.com|lead|2024-01-31 10:00:00.123456",
    },
    Recipe {
        name: "spring",
        source: Source::Shape("Spring Data, Page"),
        path: "/customers",
        record: |number| {
            json!({
                "id": number, "fullName": "Ada Lovelace", "email": format!("ada{number}@example.com"), "type": "customer",
                "createdAt": "2024-01-31T10:00:00Z", "updatedAt": "2024-02-01T10:00:00.5Z",
            })
        },
        variables: &[("API_TOKEN", SECRET)],
        header: ("authorization", "Bearer canary-secret-7f"),
        stored: "2|Ada Lovelace|ada2@example.com|customer|2024-01-31 10:00:00",
    },
    Recipe {
        name: "graphql",
        source: Source::Body(connection),
        path: "/graphql",
        record: |number| {
            json!({
                "id": format!("gid://shop/Customer/{number}"), "name": "Ada Lovelace",
                "email": format!("ada{number}@example.com"),
                "createdAt": "2024-01-31T10:00:00Z", "updatedAt": "2024-02-01T10:00:00Z",
            })
        },
        variables: &[("API_TOKEN", SECRET)],
        header: ("authorization", "Bearer canary-secret-7f"),
        stored: "gid://shop/Customer/2|Ada Lovelace|ada2@example.com|customer|2024-01-31 10:00:00",
    },
];

/// A connection of GraphQL, which pages by the variables of its query.
fn connection(request: &Request, all: usize, record: fn(usize) -> Value) -> Value {
    let asked: Value = serde_json::from_str(&request.body).unwrap();
    let query = asked["query"].as_str().unwrap_or_default();
    assert!(
        query.contains("customers(first: $first, after: $after)"),
        "{query}"
    );
    let from = asked["variables"]["after"]
        .as_str()
        .map_or(0, |after| after.parse().unwrap());
    let size = usize::try_from(asked["variables"]["first"].as_u64().unwrap()).unwrap();
    let to = all.min(from + size);
    let nodes: Vec<Value> = (from + 1..=to).map(record).collect();
    let page = json!({ "hasNextPage": to < all, "endCursor": to.to_string() });
    json!({ "data": { "customers": { "nodes": nodes, "pageInfo": page } } })
}

fn file(name: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("examples/sources").join(format!("{name}.yaml"));
    std::fs::read_to_string(file).unwrap()
}

impl Recipe {
    /// The source, with the records and the path of this recipe.
    fn serve(&self, all: usize) -> Server {
        let record = self.record;
        match self.source {
            Source::Shape(name) => {
                let shape = shapes().into_iter().find(|shape| shape.name == name);
                let shape = Shape {
                    path: self.path,
                    record,
                    ..shape.unwrap()
                };
                Server::new().script(move |request| {
                    let token = (request.path == TOKEN_PATH).then(token);
                    Some(token.unwrap_or_else(|| shape.reply(request, all)))
                })
            }
            Source::Body(body) => Server::new().path(self.path).script(move |request| {
                let json = vec![("Content-Type", "application/json".to_owned())];
                let text = body(request, all, record).to_string();
                Some(Reply::Instead(200, json, text))
            }),
        }
    }

    fn place(&self, url: &str, database: &Database) -> Workplace {
        let place = Workplace::new()
            .env("API_BASE_URL", url)
            .with_database(database);
        place.write("mappings.yaml", &file(self.name));
        self.variables.iter().fold(place, |place, (name, value)| {
            place.env(name, value.replace("{origin}", url))
        })
    }

    fn run(&self) {
        // More than two pages of every recipe, and fewer than a page.
        for all in [520, 3] {
            let api = self.serve(all).start();
            let database = Database::new();
            let place = self.place(api.url(), &database);
            place.run(&["check-db", "--apply-schema"]).expect(0);
            place.run(&["check-api"]).expect(0);
            let (finished, report) = place.sync(&[]);
            finished.expect(0);
            assert_eq!(report["ledger"]["inserted"], all, "{}: {report}", self.name);
            assert_eq!(report["complete"], true, "{}: {report}", self.name);
            let (finished, report) = place.sync(&[]);
            finished.expect(0);
            assert_eq!(
                report["ledger"]["unchanged"], all,
                "{}: {report}",
                self.name
            );
            let row = "SELECT concat_ws('|', customer_id, customer_name, coalesce(email, ''), record_type, \
                 created_at AT TIME ZONE 'UTC') FROM customers WHERE id = 2 OR customer_id = split_part($$STORED$$, '|', 1)";
            let stored = database.list(&row.replace("STORED", self.stored));
            assert!(
                stored.iter().any(|row| row == self.stored),
                "{}: {stored:?}",
                self.name
            );
            let has_header = |request: &Request| {
                request.path == TOKEN_PATH
                    || request.headers.get(self.header.0).map(String::as_str) == Some(self.header.1)
            };
            assert!(api.requests().iter().all(has_header), "{}", self.name);
        }
    }
}

#[test]
fn each_recipe_reads_a_source_of_its_kind_into_the_table() {
    std::thread::scope(|scope| {
        for recipe in &RECIPES {
            scope.spawn(|| recipe.run());
        }
    });
}

#[test]
fn every_recipe_is_tested_and_in_the_documentation() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/sources.md")).unwrap();
    let mut files: Vec<String> = std::fs::read_dir(root.join("examples/sources"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut tested: Vec<String> = RECIPES
        .iter()
        .map(|recipe| format!("{}.yaml", recipe.name))
        .collect();
    tested.sort();
    assert_eq!(files, tested);
    for file in files {
        assert!(
            document.contains(&format!("(../examples/sources/{file})")),
            "{file}"
        );
    }
}
