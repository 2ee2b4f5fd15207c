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
    let Some(at) = text.bytes().position(|byte| byte == b'@') else {
        return false;
    };
    let (local, domain) = text.as_bytes().split_at(at);
    is_local(local)
        && is_domain(&domain[1..])
        && (text.is_ascii()
            || text
                .chars()
                .all(|letter| letter.is_ascii() || is_foreign_letter(letter)))
}

/// Looks at ASCII only.
fn is_local(local: &[u8]) -> bool {
    if local.is_empty() || local.len() > LOCAL {
        return false;
    }
    // As if a dot came before: a dot at the head is then two in a row.
    let mut last = b'.';
    for &byte in local {
        let allowed = match byte {
            b'.' => last != b'.',
            0..=b' '
            | b'"'
            | b'('
            | b')'
            | b','
            | b':'
            | b';'
            | b'<'
            | b'>'
            | b'@'
            | b'['
            | b'\\'
            | b']'
            | 0x7f => false,
            _ => true,
        };
        if !allowed {
            return false;
        }
        last = byte;
    }
    last != b'.'
}

/// Looks at ASCII only.
fn is_domain(domain: &[u8]) -> bool {
    if domain.len() > DOMAIN {
        return false;
    }
    let mut labels = 0;
    let mut start = 0;
    let mut digits_only = true;
    for (at, byte) in domain.iter().copied().chain([b'.']).enumerate() {
        match byte {
            b'.' => {
                let label = &domain[start..at];
                let hyphen = label.first() == Some(&b'-') || label.last() == Some(&b'-');
                if label.is_empty() || label.len() > LABEL || hyphen {
                    return false;
                }
                labels += 1;
                start = at + 1;
                // The last label tells a domain from an IP address.
                if at == domain.len() {
                    return labels > 1 && !digits_only;
                }
                digits_only = true;
            }
            b'0'..=b'9' => {}
            b'a'..=b'z' | b'A'..=b'Z' | b'-' | 0x80.. => digits_only = false,
            _ => return false,
        }
    }
    false
}

/// Any character beyond ASCII but white space, controls and those that only reorder or hide their neighbours.
fn is_foreign_letter(character: char) -> bool {
    !character.is_whitespace()
        && !character.is_control()
        && !matches!(character,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}')
}
