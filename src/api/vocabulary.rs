//! Which names of a page, a header or an error may stand in a message.
//!
//! An object can be keyed by addresses or names of customers. So a name from the API is shown only if all of its words are
//! words that APIs commonly use. `check-api` also shows what looks like the name of a field.

/// Words that APIs use in names about pages, records and errors.
const WORDS: &str = "access account accounts active address after all and api array at attributes auth authentication \
     authorization authorized available bad batch before begin body bookmark by client clients code collection \
     companies company conflict contact contacts content continuation count created credentials crm cur current \
     cursor cursors customer customers d data database date deleted denied description detail details docs \
     documents done elements email empty end entities entries entry err error errors exceeded exception expired \
     external fail failed failure fault filter filtered first forbidden found full gateway gone grant has have \
     header headers hits href http hydra id in index info input internal invalid is item items iterator key last \
     lead leads len length limit limited link links list load locked login maintenance many marker max member \
     members message meta metadata method missing more name nb next no not num number object objects odata of \
     offset ok on operation page paged pagelen pager pages paginated pagination paging param parameter path \
     payload people per permission permitted persons prev previous query quota range rate reason record records \
     request required resource response result results root rows search server service session set size skip \
     start state status success system take temporarily this throttled timeout title to token too total totals \
     type unauthenticated unauthorized unavailable unknown updated uri url user users v value values version view \
     with x";
/// Longest name that is looked at, bytes.
const LONGEST: usize = 80;
/// Greatest number of digits in a name; a longer number could be a customer's.
const DIGITS: usize = 4;

/// May this name stand in a log, a case or an alert?
pub(super) fn is_plain(name: &str) -> bool {
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    name.len() <= LONGEST
        && digits <= DIGITS
        && name.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && words(name).all(|word| is_made_of_words(&word))
}

/// May the name be shown to somebody who has asked for the fields of a page?
pub(super) fn is_like_a_field(name: &str) -> bool {
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    let rest = name.strip_prefix(['@', '$', '/']).unwrap_or(name);
    rest.len() <= 60
        && digits <= DIGITS
        && rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte))
}

/// Those of the names that may be shown, and how many others there are: `page, total and 2 that are not shown`.
pub(super) fn listed(names: &[String], is_shown: impl Fn(&str) -> bool) -> String {
    let shown: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| is_shown(name))
        .collect();
    let hidden = names.len() - shown.len();
    match (shown.is_empty(), hidden) {
        (_, 0) => shown.join(", "),
        (true, 1) => "one whose name is not shown".to_owned(),
        (true, _) => format!("{hidden} whose names are not shown"),
        (false, 1) => format!("{} and one that is not shown", shown.join(", ")),
        (false, _) => format!("{} and {hidden} that are not shown", shown.join(", ")),
    }
}

/// The words of `next_page`, `nextPage`, `X-Next-Page` and `NEXT_PAGE`, in lower case, without digits.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let begins = c.is_uppercase() && before.is_lowercase();
        if begins || !c.is_alphabetic() {
            words.push(String::new());
        }
        if c.is_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.into_iter().filter(|word| !word.is_empty())
}

/// Is it one or more words written together, such as `nextpagetoken`?
fn is_made_of_words(word: &str) -> bool {
    // reached[n]: the first n bytes can be split into words.
    let mut reached = vec![false; word.len() + 1];
    reached[0] = true;
    for start in 0..word.len() {
        if !reached[start] {
            continue;
        }
        let Some(rest) = word.get(start..) else {
            continue;
        };
        for known in WORDS.split(' ') {
            // A letter alone is a word only by itself.
            if rest.starts_with(known) && (known.len() > 1 || word.len() == 1) {
                reached[start + known.len()] = true;
            }
        }
    }
    reached[word.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_apis_are_shown_and_those_of_people_are_not() {
        for name in [
            "next",
            "nextPageToken",
            "X-Total-Count",
            "@odata.nextLink",
            "meta.total",
            "page_size",
            "totalpages",
            "v2",
            "INVALID_SESSION_ID",
            "rate_limited",
            "AuthenticationError",
            "hydra:member",
            "d.results",
            "ERR_42",
        ] {
            assert!(is_plain(name), "{name}");
        }
        for name in [
            "jane@example.com",
            "Jane",
            "jane_doe",
            "next_jane",
            "491701234567",
            "next_page_of_zoë",
            "李小龙",
            "",
            "@",
            "x1a2b3c4d5e6",
        ] {
            assert!(!is_plain(name), "{name}");
        }
    }

    #[test]
    fn a_field_may_have_any_plain_word() {
        assert!(is_like_a_field("shoe_size") && is_like_a_field("@odata.etag"));
        for name in [
            "jane@example.com",
            "Jane Doe",
            "4917012",
            "a491701234567",
            "zoë",
            "",
        ] {
            assert!(!is_like_a_field(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        for (all, text) in [
            (names(&["page", "total"]), "page, total"),
            (names(&["page", "jane"]), "page and one that is not shown"),
            (names(&["jane", "joe"]), "2 whose names are not shown"),
        ] {
            assert_eq!(listed(&all, is_plain), text);
        }
    }
}
