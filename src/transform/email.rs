//! Is a text plausibly an e-mail address?
//!
//! One pass, no regular expression, any script in both halves (RFC 6531). It is meant to catch what is certainly not an
//! address (`n/a`, a telephone number, two addresses, a pasted line) and to let every deliverable one pass, apart from
//! the quoted local parts and bracketed hosts that nobody uses. It must not look anything up.

/// Longest local part and longest domain, in bytes (RFC 5321).
const LOCAL: usize = 64;
const DOMAIN: usize = 255;
/// Longest label of a domain, in bytes.
const LABEL: usize = 63;

/// True for one `@` between a plausible local part and a domain of two labels or more.
pub(super) fn is_address(text: &str) -> bool {
    let Some(at) = memchr::memchr(b'@', text.as_bytes()) else {
        return false;
    };
    is_local(&text[..at]) && is_domain(&text[at + 1..])
}

fn is_local(local: &str) -> bool {
    if local.is_empty() || local.len() > LOCAL {
        return false;
    }
    // As if a dot came before: a dot at the head is then two in a row.
    let mut dot = true;
    for character in local.chars() {
        if character == '.' {
            if dot {
                return false;
            }
            dot = true;
            continue;
        }
        dot = false;
        let allowed = match character {
            '"' | '(' | ')' | ',' | ':' | ';' | '<' | '>' | '@' | '[' | '\\' | ']' => false,
            '!'..='~' => true,
            other => is_foreign_letter(other),
        };
        if !allowed {
            return false;
        }
    }
    !dot
}

fn is_domain(domain: &str) -> bool {
    if domain.len() > DOMAIN {
        return false;
    }
    let mut labels = 0;
    let mut last_is_number = false;
    for label in domain.split('.') {
        if label.is_empty() || label.len() > LABEL || label.starts_with('-') || label.ends_with('-')
        {
            return false;
        }
        let mut digits_only = true;
        for character in label.chars() {
            digits_only &= character.is_ascii_digit();
            let allowed = match character {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '-' => true,
                other => is_foreign_letter(other),
            };
            if !allowed {
                return false;
            }
        }
        last_is_number = digits_only;
        labels += 1;
    }
    labels > 1 && !last_is_number
}

/// Any character beyond ASCII but white space, controls and those that only reorder or hide their neighbours.
fn is_foreign_letter(character: char) -> bool {
    !character.is_ascii()
        && !character.is_whitespace()
        && !character.is_control()
        && !matches!(character,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}')
}
