//! The name of each field of a draft, and which fields the shipped table stores (key, name, address, score, times of change).

use std::collections::BTreeSet;

use super::leaves::{JSON, Leaf};

/// A field of the draft.
#[derive(Debug)]
pub(super) struct Field {
    pub leaf: Leaf,
    /// Its name in the program (`to` in mappings.yaml).
    pub to: String,
    /// Its type in the mapping language, with its `format` or `timezone`.
    pub kind: &'static str,
    /// True if the shipped table has a column for it.
    pub is_stored: bool,
    /// True if every record of the page has it.
    pub is_in_all: bool,
}

/// The key of a record.
pub(super) const KEY: &str = "customerId";
/// The name of the customer.
pub(super) const NAME: &str = "customerName";
/// The time when the source last changed the record.
pub(super) const CHANGED: &str = "sourceUpdatedAt";

impl Field {
    /// True if this is the key.
    pub(super) fn is_key(&self) -> bool {
        self.to == KEY
    }

    fn is(&self, kinds: &[&str]) -> bool {
        let kind = self.kind.split(',').next().unwrap_or_default();
        kinds.contains(&kind)
    }
}

/// A field of the shipped table: how sources name it, the likeliest first, and which types it may have.
struct Role {
    to: &'static str,
    is_stored: bool,
    names: &'static [&'static str],
    kinds: &'static [&'static str],
}

const ROLES: [Role; 6] = [
    Role {
        to: NAME,
        is_stored: true,
        names: &[
            "fullname",
            "name",
            "displayname",
            "customername",
            "contactname",
            "company",
            "companyname",
        ],
        kinds: &["string"],
    },
    Role {
        to: "email",
        is_stored: true,
        names: &[
            "email",
            "emailaddress",
            "contactemail",
            "mail",
            "primaryemail",
        ],
        kinds: &["email"],
    },
    Role {
        to: "recordType",
        is_stored: true,
        names: &["recordtype", "customertype"],
        kinds: &["string"],
    },
    Role {
        to: "qualityScore",
        is_stored: true,
        names: &["qualityscore", "score"],
        kinds: &["integer", "decimal"],
    },
    Role {
        to: "createdAt",
        is_stored: true,
        names: &[
            "createdat",
            "created",
            "createddate",
            "datecreated",
            "createdon",
            "creationdate",
            "createtime",
        ],
        kinds: &["datetime"],
    },
    Role {
        to: CHANGED,
        is_stored: false,
        names: &[
            "updatedat",
            "updated",
            "updateddate",
            "dateupdated",
            "modifiedat",
            "modified",
            "modifieddate",
            "datemodified",
            "modifiedon",
            "lastmodified",
            "lastmodifieddate",
            "lastupdated",
            "updatetime",
            "systemmodstamp",
        ],
        kinds: &["datetime"],
    },
];

/// Names that sources give to keys, the likeliest first.
const KEYS: [&str; 10] = [
    "id",
    "customerid",
    "externalid",
    "uuid",
    "guid",
    "contactid",
    "userid",
    "accountid",
    "key",
    "number",
];

/// Names the fields. `types` holds the type of each leaf; `records` is the number of records on the page.
pub(super) fn of(leaves: Vec<Leaf>, types: Vec<&'static str>, records: usize) -> Vec<Field> {
    let mut fields: Vec<Field> = leaves
        .into_iter()
        .zip(types)
        .map(|(leaf, kind)| Field {
            to: String::new(),
            kind: if leaf.is_nested() { JSON } else { kind },
            is_stored: false,
            is_in_all: leaf.count == records,
            leaf,
        })
        .collect();
    if let Some(key) = key(&fields, records) {
        KEY.clone_into(&mut fields[key].to);
        fields[key].is_stored = true;
        // The column of the key is text, which can hold any key.
        fields[key].kind = "string";
    }
    for role in &ROLES {
        let free = |field: &&mut Field| field.to.is_empty() && field.is(role.kinds);
        let rank = |field: &Field| {
            let name = comparable(&field.leaf.name);
            let known = role.names.iter().position(|known| *known == name)?;
            Some((field.leaf.parent.is_some(), known))
        };
        let best = fields
            .iter_mut()
            .filter(free)
            .filter_map(|field| Some((rank(field)?, field)))
            .min_by_key(|(rank, _)| *rank);
        if let Some((_, field)) = best {
            role.to.clone_into(&mut field.to);
            field.is_stored = role.is_stored;
        }
    }
    // A name that has a meaning in the decision table is not given to another field.
    let mut taken: BTreeSet<String> = [KEY, "hasRequiredFields"]
        .into_iter()
        .chain(ROLES.iter().map(|role| role.to))
        .map(str::to_owned)
        .collect();
    for field in &mut fields {
        if field.to.is_empty() {
            field.to = free_name(&field.leaf, &mut taken);
        }
    }
    fields
}

/// The field that is the key: the one with the likeliest name, and among equals the first.
fn key(fields: &[Field], records: usize) -> Option<usize> {
    let rank = |field: &Field| {
        let name = comparable(&field.leaf.name);
        let known = KEYS.iter().position(|known| *known == name);
        let ends_in_id = name.ends_with("id");
        (
            field.leaf.parent.is_some(),
            known.unwrap_or(KEYS.len()),
            !ends_in_id,
        )
    };
    (0..fields.len())
        .filter(|index| fields[*index].leaf.could_be_key(records))
        // A time is no key, even if no two records share it.
        .filter(|index| fields[*index].is(&["string", "integer", "uuid", "email"]))
        .min_by_key(|index| rank(&fields[*index]))
}

/// A name without case, hyphens, underscores and blanks, for comparing.
fn comparable(name: &str) -> String {
    let kept = name.chars().filter(|c| c.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

/// The source's name in camelCase. Where it is taken, the name of its object is put in front, and then a number behind.
fn free_name(leaf: &Leaf, taken: &mut BTreeSet<String>) -> String {
    let own = camel_case(&[&leaf.name]);
    let with_parent = leaf
        .parent
        .as_ref()
        .map(|parent| camel_case(&[parent, &leaf.name]));
    let numbered = (2..).map(|number| format!("{own}{number}"));
    let name = std::iter::once(own.clone())
        .chain(with_parent)
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or(own);
    taken.insert(name.clone());
    name
}

/// `contact_email`, `Contact Email` and `contact-email` become `contactEmail`.
fn camel_case(parts: &[&str]) -> String {
    let mut name = String::new();
    for word in parts
        .iter()
        .flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric()))
        .filter(|word| !word.is_empty())
    {
        let (first, rest) = word.split_at(1);
        if name.is_empty() {
            name += &first.to_ascii_lowercase();
        } else {
            name += &first.to_ascii_uppercase();
        }
        name += rest;
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        name.insert_str(0, "field");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_camel_case() {
        for (parts, expected) in [
            (&["contact_email"][..], "contactEmail"),
            (&["Contact Email"], "contactEmail"),
            (&["address", "postal-code"], "addressPostalCode"),
            (&["@odata.etag"], "odataEtag"),
            (&["2nd"], "field2nd"),
            (&["名"], "field"),
        ] {
            assert_eq!(camel_case(parts), expected);
        }
    }
}
