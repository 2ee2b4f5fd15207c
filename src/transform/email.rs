//! Checks whether a text is plausibly an e-mail address.
//!
//! No regular expression, any script in both halves (RFC 6531). It is meant to catch what is certainly not an
//! address (`n/a`, a telephone number, two addresses, a pasted line) and to let every deliverable one pass, apart from
//! the quoted local parts and bracketed hosts that nobody uses. It must not look anything up.

/// Longest local part and longest domain, in bytes (RFC 5321).
const LOCAL: usize = 64;
const DOMAIN: usize = 255;
/// Longest label of a domain, in bytes.
const LABEL: usize = 63;

/// True for one `@` between a plausible local part and a domain of two labels or more.
pub(super) fn is_address(text: &str) -> bool {
    let Some(at) = local_part(text.as_bytes()) else {
        return false;
    };
    is_domain(&text.as_bytes()[at + 1..])
        && (text.is_ascii()
            || text
                .chars()
                .all(|letter| letter.is_ascii() || is_foreign_letter(letter)))
}

/// The length of a plausible local part before an `@`. Looks at ASCII only.
fn local_part(text: &[u8]) -> Option<usize> {
    // A dot stands between two other characters.
    let mut before = b'.';
    for (place, &byte) in text.iter().enumerate().take(LOCAL + 1) {
        match byte {
            b'@' | b'.' if before == b'.' => return None,
            b'@' => return Some(place),
            _ if !IN_LOCAL[usize::from(byte)] => return None,
            _ => before = byte,
        }
    }
    None
}

/// Looks at ASCII only.
fn is_domain(domain: &[u8]) -> bool {
    if domain.len() > DOMAIN {
        return false;
    }
    // Of the label that is read: where it begins, and whether it is a number so far.
    let (mut start, mut number) = (0, true);
    let mut before = b'.';
    let mut labels = 1;
    let ends = |start: usize, end: usize, before: u8| {
        (1..=LABEL).contains(&(end - start)) && before != b'-'
    };
    for (place, &byte) in domain.iter().enumerate() {
        match byte {
            b'.' if !ends(start, place, before) => return false,
            b'.' => {
                labels += 1;
                (start, number) = (place + 1, true);
            }
            b'-' if place == start => return false,
            _ if !IN_DOMAIN[usize::from(byte)] => return false,
            _ => number &= byte.is_ascii_digit(),
        }
        before = byte;
    }
    // The last label tells a domain from an IP address.
    ends(start, domain.len(), before) && labels > 1 && !number
}

/// Bytes allowed in a local part, those beyond ASCII included. A table, since a branch for every character takes longer.
const IN_LOCAL: [bool; 256] = table(br#"\"(),:;<>@[] "#);
/// Bytes allowed in a domain: letters, digits, hyphen and dot, those beyond ASCII included.
const IN_DOMAIN: [bool; 256] = table(br#"\"(),:;<>@[] !#$%&'*+/=?^_`{|}~"#);

/// All bytes but controls and those named.
const fn table(refused: &[u8]) -> [bool; 256] {
    let mut allowed = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        allowed[byte] = false;
        byte += 1;
    }
    allowed[0x7f] = false;
    let mut at = 0;
    while at < refused.len() {
        allowed[refused[at] as usize] = false;
        at += 1;
    }
    allowed
}

/// Any character beyond ASCII but white space, controls and those that only reorder or hide their neighbours.
fn is_foreign_letter(character: char) -> bool {
    !character.is_whitespace()
        && !character.is_control()
        && !matches!(character,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}')
}
