//! A payload as a release without feature level 2 reads it.
//!
//! Such a release skips the commands that came with that level, wherever they stand and whatever
//! they hold. In a cluster below that level one that knows them must come to the same, so it reads
//! a payload without them. What is attached to a command it skips as well.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};

/// The fields of a payload that hold commands, and of each the commands of feature level 2.
const COMMANDS: [(u32, &[u32]); 2] = [(3, &[22, 23]), (4, &[19, 20])];

/// The fields of a payload that hold what is attached to a command.
const ATTACHED: [u32; 2] = [5, 6];

/// One field of a message.
struct Field<'a> {
    tag: u32,
    /// With its key.
    whole: &'a [u8],
    /// What it holds, if that has a length.
    content: Option<&'a [u8]>,
}

/// `payload` without the commands of feature level 2. What is no message stays as it is: no release reads it.
pub(super) fn without_level_2(payload: &[u8]) -> Vec<u8> {
    let Some(fields) = fields(payload) else { return payload.to_vec() };
    let mut out = Vec::with_capacity(payload.len());
    for field in fields {
        let later = COMMANDS.iter().find(|(tag, _)| *tag == field.tag).map(|(_, later)| *later);
        match later.zip(field.content).and_then(|(later, content)| without(content, later)) {
            Some(content) => {
                encode_key(field.tag, WireType::LengthDelimited, &mut out);
                encode_varint(content.len() as u64, &mut out);
                out.extend(content);
            }
            None => out.extend_from_slice(field.whole),
        }
    }
    out
}

/// `payload` without what is attached. What is no message stays as it is: no release reads it.
pub(super) fn without_attached(payload: &[u8]) -> Vec<u8> {
    without(payload, &ATTACHED).unwrap_or_else(|| payload.to_vec())
}

/// `message` without the fields of these numbers; `None` if it is no message.
fn without(message: &[u8], skipped: &[u32]) -> Option<Vec<u8>> {
    let kept = fields(message)?.into_iter().filter(|field| !skipped.contains(&field.tag));
    Some(kept.flat_map(|field| field.whole).copied().collect())
}

fn fields(mut bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let start = bytes;
        let (tag, wire_type) = decode_key(&mut bytes).ok()?;
        let mut content = bytes;
        skip_field(wire_type, tag, &mut bytes, DecodeContext::default()).ok()?;
        let whole = start.get(..start.len() - bytes.len())?;
        let content = if wire_type == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut content).ok()?).ok()?;
            Some(content.get(..length)?)
        } else {
            None
        };
        fields.push(Field { tag, whole, content });
    }
    Some(fields)
}
