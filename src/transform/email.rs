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
    (1..=LOCAL).contains(&local.len())
        && local.iter().all(|byte| IN_LOCAL[usize::from(*byte)])
        && local.first() != Some(&b'.')
        && local.last() != Some(&b'.')
        && !local.windows(2).any(|pair| pair == b"..")
}

/// Looks at ASCII only.
fn is_domain(domain: &[u8]) -> bool {
    if domain.len() > DOMAIN || !domain.iter().all(|byte| IN_DOMAIN[usize::from(*byte)]) {
        return false;
    }
    let mut labels = 0;
    let mut last: &[u8] = &[];
    for label in domain.split(|byte| *byte == b'.') {
        let hyphen = label.first() == Some(&b'-') || label.last() == Some(&b'-');
        if hyphen || !(1..=LABEL).contains(&label.len()) {
            return false;
        }
        labels += 1;
        last = label;
    }
    // The last label tells a domain from an IP address.
    labels > 1 && !last.iter().all(u8::is_ascii_digit)
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
