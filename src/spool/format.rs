//! The bytes of a spool file: written from a batch, and read back only when every byte is as it was written.
//!
//! Layout, integers little-endian:
//!
//! ```text
//! "DSPOOL1\n"
//! u32 length, u32 crc32, header (JSON: run_id, batch, config_hash, created)
//! repeated: u32 length, u32 crc32, frame = i64 requested_at µs, raw JSON
//! u32 0xFFFF_FFFF, u32 crc32, u64 number of frames
//! ```
//!
//! Knows nothing of folders, locks or the file system.

use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"DSPOOL1\n";
const END: u32 = u32::MAX;
/// No frame of ours is longer: a page is capped well below.
const MAX_FRAME: u32 = 1 << 30;

/// The head of a spool file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The run that wrote it.
    pub run_id: String,
    /// The number of the batch in that run.
    pub batch: u64,
    /// The configuration it was made with.
    pub config_hash: String,
    /// When it was written, microseconds since 1970-01-01T00:00:00Z.
    pub created: i64,
}

/// One record of a spool file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When its page was requested, by PostgreSQL's clock: microseconds since 1970-01-01T00:00:00Z.
    pub requested_at: i64,
    /// Its JSON text as the source sent it.
    pub raw: String,
}

/// The bytes of a file with these records.
///
/// # Errors
/// The header has no JSON form.
pub(super) fn encode(header: &Header, entries: &[(i64, &str)]) -> serde_json::Result<Vec<u8>> {
    let head = serde_json::to_vec(header)?;
    // Several whole batches are in memory while this runs: reserve exactly what is needed.
    let frames = entries.iter().map(|(_, raw)| raw.len() + size_of::<i64>());
    let texts = frames.map(|size| size + 2 * size_of::<u32>());
    let ends = MAGIC.len() + head.len() + 6 * size_of::<u32>();
    let mut text = Vec::with_capacity(ends + texts.sum::<usize>());
    text.extend_from_slice(MAGIC);
    frame(&mut text, &[&head]);
    for (requested_at, raw) in entries {
        frame(&mut text, &[&requested_at.to_le_bytes(), raw.as_bytes()]);
    }
    let count = entries.len() as u64;
    text.extend_from_slice(&END.to_le_bytes());
    text.extend_from_slice(&checksum(&[&count.to_le_bytes()]).to_le_bytes());
    text.extend_from_slice(&count.to_le_bytes());
    Ok(text)
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

fn frame(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(length).unwrap_or(MAX_FRAME);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(parts).to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Reads a whole file back, or says in one sentence what is wrong with it.
pub(super) fn decode(bytes: &[u8]) -> Result<(Header, Vec<Entry>), String> {
    let mut rest = bytes
        .strip_prefix(MAGIC)
        .ok_or("it does not begin like a spool file of this version")?;
    let head = take_frame(&mut rest)?.ok_or("it has no header")?;
    let header: Header = serde_json::from_slice(head).map_err(|_| "its header is not readable")?;
    let mut entries = Vec::new();
    while let Some(body) = take_frame(&mut rest)? {
        let (time, raw) = body
            .split_first_chunk::<8>()
            .ok_or("a frame is too short")?;
        let raw = std::str::from_utf8(raw).map_err(|_| "a record is not UTF-8")?;
        entries.push(Entry {
            requested_at: i64::from_le_bytes(*time),
            raw: raw.to_owned(),
        });
    }
    let count = rest.first_chunk::<8>().ok_or("its end is missing")?;
    if u64::from_le_bytes(*count) != entries.len() as u64 || rest.len() != 8 {
        return Err("its number of records does not match its end".to_owned());
    }
    Ok((header, entries))
}

/// The next frame; None at the end marker (then `rest` begins with the count).
fn take_frame<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
    let torn = || "it ends in the middle of a frame".to_owned();
    let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(torn)?;
    let (sum, tail) = tail.split_first_chunk::<4>().ok_or_else(torn)?;
    let (length, sum) = (u32::from_le_bytes(*length), u32::from_le_bytes(*sum));
    let (size, end) = if length == END {
        (8, true)
    } else {
        (length as usize, false)
    };
    let body = tail.get(..size).ok_or_else(torn)?;
    if checksum(&[body]) != sum {
        return Err("a checksum does not match".to_owned());
    }
    *rest = if end { tail } else { &tail[size..] };
    Ok((!end).then_some(body))
}
