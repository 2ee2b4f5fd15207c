//! The layout of a spool file: writing and reading it. This file knows no folder.
//!
//! Integers are little-endian:
//!
//! ```text
//! "DSPOOL1\n"
//! u32 length, u32 crc32, header (JSON: run_id, batch, config_hash, created)
//! repeated: u32 length, u32 crc32, frame = i64 requested_at µs, raw JSON
//! u32 0xFFFF_FFFF, u32 crc32, u64 number of frames
//! ```

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use crate::model::clock::Micros;

const MAGIC: &[u8; 8] = b"DSPOOL1\n";
const END: u32 = u32::MAX;
/// A longer frame is taken for damage. The cap on the size of a page keeps real frames well below.
const MAX_FRAME: u32 = 1 << 30;
/// Bytes that the end of a file takes.
pub(super) const END_BYTES: u64 = 16;

/// The first frame of a spool file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The run that wrote it.
    pub run_id: String,
    /// The first batch in the file.
    pub batch: u64,
    /// The hash of the configuration it was made with.
    pub config_hash: String,
    /// When the file was begun, by the clock of the machine that wrote it.
    pub created: Micros,
}

/// One record of a spool file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When its page was requested, by PostgreSQL's clock.
    pub requested_at: Micros,
    /// Its JSON text as the source sent it.
    pub raw: String,
}

/// The bytes a file begins with: the magic number and the header.
pub(super) fn beginning(header: &Header) -> io::Result<Vec<u8>> {
    let head = serde_json::to_vec(header)?;
    let mut text = MAGIC.to_vec();
    frame(&mut text, &[&head]);
    Ok(text)
}

/// The bytes of these records, one frame each.
pub(super) fn frames(entries: &[(Micros, &str)]) -> Vec<u8> {
    // Reserves exactly what is needed: this runs when memory is already full of batches.
    let sizes = entries
        .iter()
        .map(|(_, raw)| raw.len() + size_of::<i64>() + 2 * size_of::<u32>());
    let mut text = Vec::with_capacity(sizes.sum());
    for (requested_at, raw) in entries {
        frame(&mut text, &[&requested_at.0.to_le_bytes(), raw.as_bytes()]);
    }
    text
}

/// The bytes a file ends with, after `count` records.
pub(super) fn end(count: u64) -> Vec<u8> {
    let count = count.to_le_bytes();
    let mut text = END.to_le_bytes().to_vec();
    text.extend_from_slice(&checksum(&[&count]).to_le_bytes());
    text.extend_from_slice(&count);
    text
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

/// Reads a whole file, or says in one sentence what is wrong with it. Nothing after the first fault is read.
pub(super) fn decode(mut file: impl Read) -> Result<(Header, Vec<Entry>), String> {
    let mut magic = [0; MAGIC.len()];
    if file.read_exact(&mut magic).is_err() || magic != *MAGIC {
        return Err("it does not begin like a spool file of this version".to_owned());
    }
    let Frame::Body(head) = read_frame(&mut file)? else {
        return Err("it has no header".to_owned());
    };
    let header: Header = serde_json::from_slice(&head).map_err(|_| "its header is not readable")?;
    let mut entries = Vec::new();
    loop {
        match read_frame(&mut file)? {
            Frame::Body(body) => {
                let (time, raw) = body
                    .split_first_chunk::<8>()
                    .ok_or("a frame is too short")?;
                let raw = std::str::from_utf8(raw).map_err(|_| "a record is not UTF-8")?;
                entries.push(Entry {
                    requested_at: Micros(i64::from_le_bytes(*time)),
                    raw: raw.to_owned(),
                });
            }
            Frame::End(count) => {
                let more = file.read(&mut [0]).map_err(|error| torn(&error))?;
                if count != entries.len() as u64 || more > 0 {
                    return Err("its number of records does not match its end".to_owned());
                }
                return Ok((header, entries));
            }
        }
    }
}

/// What was read next: a frame, or the end with the number of frames that it states.
enum Frame {
    Body(Vec<u8>),
    End(u64),
}

fn torn(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        "it ends in the middle of a frame".to_owned()
    } else {
        format!("it cannot be read: {error}")
    }
}

fn read_frame(file: &mut impl Read) -> Result<Frame, String> {
    let mut head = [0; 8];
    file.read_exact(&mut head).map_err(|error| torn(&error))?;
    let [a, b, c, d, sum @ ..] = head;
    let (length, sum) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(sum));
    if length == END {
        let mut count = [0; 8];
        file.read_exact(&mut count).map_err(|error| torn(&error))?;
        return if checksum(&[&count]) == sum {
            Ok(Frame::End(u64::from_le_bytes(count)))
        } else {
            Err("a checksum does not match".to_owned())
        };
    }
    if length > MAX_FRAME {
        return Err("a frame is longer than any record can be".to_owned());
    }
    // The buffer grows with the bytes that are there, so that a damaged length does not reserve memory.
    let mut body = Vec::new();
    let read = file.take(u64::from(length)).read_to_end(&mut body);
    if read.map_err(|error| torn(&error))? < length as usize {
        return Err("it ends in the middle of a frame".to_owned());
    }
    if checksum(&[&body]) != sum {
        return Err("a checksum does not match".to_owned());
    }
    Ok(Frame::Body(body))
}

/// A part of a file, damaged or not.
#[derive(Debug)]
pub(super) enum Part<'b> {
    /// The beginning of the file; `header` is none where it cannot be read.
    Head {
        bytes: &'b [u8],
        header: Option<Header>,
    },
    /// One record, or what was one. `body` is none where its checksum is wrong.
    Frame {
        bytes: &'b [u8],
        body: Option<&'b [u8]>,
    },
    /// The end, with the number of records that it states.
    End { count: u64 },
    /// Everything after a fault that cannot be divided into frames.
    Rest { bytes: &'b [u8] },
}

impl<'b> Part<'b> {
    /// The time of the request and the text, where this part is an undamaged record.
    pub(super) fn record(&self) -> Option<(Micros, &'b str)> {
        let Self::Frame {
            body: Some(body), ..
        } = self
        else {
            return None;
        };
        let (time, raw) = body.split_first_chunk::<8>()?;
        let raw = std::str::from_utf8(raw).ok()?;
        Some((Micros(i64::from_le_bytes(*time)), raw))
    }
}

/// Divides a file into its parts. After a fault that leaves no valid length, the remainder is one part.
pub(super) fn parts(bytes: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut at = 0;
    let mut is_first = true;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let part = if is_first {
            head(rest)
        } else {
            frame_or_end(rest)
        };
        is_first = false;
        let (length, part) = part.unwrap_or((rest.len(), Part::Rest { bytes: rest }));
        at += length;
        Some(part)
    })
}

/// The length, checksum and body of the frame at the start of these bytes; none where there is no whole frame.
fn split(bytes: &[u8]) -> Option<(usize, u32, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    let length = if length == END { 8 } else { length as usize };
    let body = rest.get(..length)?;
    Some((8 + length, u32::from_le_bytes(*sum), body))
}

fn head(bytes: &[u8]) -> Option<(usize, Part<'_>)> {
    let (length, sum, body) = split(bytes.strip_prefix(MAGIC.as_slice())?)?;
    let length = MAGIC.len() + length;
    let header = (checksum(&[body]) == sum)
        .then(|| serde_json::from_slice(body).ok())
        .flatten();
    let bytes = bytes.get(..length)?;
    Some((length, Part::Head { bytes, header }))
}

fn frame_or_end(bytes: &[u8]) -> Option<(usize, Part<'_>)> {
    let (length, sum, body) = split(bytes)?;
    let whole = bytes.get(..length)?;
    let is_sound = checksum(&[body]) == sum;
    if bytes.starts_with(&END.to_le_bytes()) {
        let count = u64::from_le_bytes(*body.first_chunk()?);
        return is_sound.then_some((length, Part::End { count }));
    }
    let body = is_sound.then_some(body);
    Some((length, Part::Frame { bytes: whole, body }))
}

/// Copies a file with only those parts that `is_kept` accepts. Its end states the new number of records.
pub(super) fn rewrite(bytes: &[u8], mut is_kept: impl FnMut(&Part<'_>) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut removed = 0;
    for part in parts(bytes) {
        if !is_kept(&part) {
            removed += u64::from(matches!(part, Part::Frame { .. }));
            continue;
        }
        match part {
            Part::End { count, .. } => out.extend_from_slice(&end(count.saturating_sub(removed))),
            Part::Head { bytes, .. } | Part::Frame { bytes, .. } | Part::Rest { bytes } => {
                out.extend_from_slice(bytes);
            }
        }
    }
    out
}
