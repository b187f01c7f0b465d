//! The operations of one group, and their table.

use super::{MAX_CONTROL, WHAT};
use crate::varint::{Cursor, put, put_signed};
use crate::{BLOCK, Result};

/// What makes some blocks of the new image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Blocks of the old image from `source` on.
    Copy { source: u64, blocks: u64 },
    /// Blocks of zeros.
    Zero { blocks: u64 },
    /// Blocks from the literals.
    Data { blocks: u64 },
    /// Blocks from steps.
    Patch { blocks: u64, steps: Vec<Step> },
}

/// One step of a patch: `add` bytes of the old image from byte `source` on plus differences, then `literal`
/// bytes from the literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) source: u64,
    pub(crate) add: u64,
    pub(crate) literal: u64,
}

impl Operation {
    pub(crate) fn blocks(&self) -> u64 {
        match self {
            Self::Copy { blocks, .. }
            | Self::Zero { blocks }
            | Self::Data { blocks }
            | Self::Patch { blocks, .. } => *blocks,
        }
    }
}

const COLUMNS: usize = 7;
const KINDS: usize = 0;
const BLOCKS: usize = 1;
const SOURCES: usize = 2;
const COUNTS: usize = 3;
const ADDS: usize = 4;
const LITERALS: usize = 5;
const SEEKS: usize = 6;

/// The block in which, or at whose beginning, reading would go on.
fn next_block(at: u64) -> u64 {
    at.div_ceil(BLOCK as u64)
}

/// The table of some operations.
pub(crate) fn encode(operations: &[Operation]) -> Vec<u8> {
    let mut columns: [Vec<u8>; COLUMNS] = Default::default();
    // Where reading of the old image stopped last.
    let mut at = 0_u64;
    for operation in operations {
        put(&mut columns[BLOCKS], operation.blocks());
        let kind = match operation {
            Operation::Copy { source, blocks } => {
                put_signed(&mut columns[SOURCES], *source as i64 - next_block(at) as i64);
                at = (source + blocks) * BLOCK as u64;
                0
            }
            Operation::Zero { .. } => 1,
            Operation::Data { .. } => 2,
            Operation::Patch { steps, .. } => {
                put(&mut columns[COUNTS], steps.len() as u64);
                for step in steps {
                    put(&mut columns[ADDS], step.add);
                    put(&mut columns[LITERALS], step.literal);
                    put_signed(&mut columns[SEEKS], step.source as i64 - at as i64);
                    at = step.source + step.add;
                }
                3
            }
        };
        columns[KINDS].push(kind);
    }
    let mut out = Vec::new();
    for column in &columns {
        put(&mut out, column.len() as u64);
    }
    for column in &columns {
        out.extend_from_slice(column);
    }
    out
}

/// Reads a table whose operations make `blocks` blocks of an old image of `old_blocks`. Everything that it says
/// of places and amounts is checked here.
pub(crate) fn decode(bytes: &[u8], old_blocks: u64, blocks: u64) -> Result<Vec<Operation>> {
    let old_bytes = old_blocks * BLOCK as u64;
    let mut cursor = Cursor::new(bytes, WHAT);
    let mut lengths = [0; COLUMNS];
    for length in &mut lengths {
        *length = cursor.number(MAX_CONTROL as u64)? as usize;
    }
    let mut columns = Vec::with_capacity(COLUMNS);
    for length in lengths {
        columns.push(Cursor::new(cursor.take(length)?, WHAT));
    }
    let [mut kinds, mut sizes, mut sources, mut counts, mut adds, mut literals, mut seeks] =
        <[Cursor<'_>; COLUMNS]>::try_from(columns).map_err(|_| cursor.error("a column is missing"))?;
    if !cursor.is_empty() {
        return Err(cursor.error("something follows the columns"));
    }
    let beyond = || cursor.error("it reads beyond the old image");
    let (mut operations, mut made, mut at) = (Vec::new(), 0_u64, 0_u64);
    while !kinds.is_empty() {
        let kind = kinds.take(1)?[0];
        let blocks = sizes.number(blocks - made)?;
        made += blocks;
        operations.push(match kind {
            0 => {
                let source = next_block(at).checked_add_signed(sources.signed()?).ok_or_else(beyond)?;
                let end = source.checked_add(blocks).filter(|end| *end <= old_blocks).ok_or_else(beyond)?;
                at = end * BLOCK as u64;
                Operation::Copy { source, blocks }
            }
            1 => Operation::Zero { blocks },
            2 => Operation::Data { blocks },
            3 => {
                let mut left = blocks * BLOCK as u64;
                // A step takes at least three bytes, so that the table bounds what is reserved here.
                let mut steps = Vec::new();
                for _ in 0..counts.number(MAX_CONTROL as u64)? {
                    let add = adds.number(left)?;
                    left -= add;
                    let literal = literals.number(left)?;
                    left -= literal;
                    let source = at.checked_add_signed(seeks.signed()?).ok_or_else(beyond)?;
                    at = source.checked_add(add).filter(|end| *end <= old_bytes).ok_or_else(beyond)?;
                    steps.push(Step { source, add, literal });
                }
                if left > 0 {
                    return Err(cursor.error("a patch does not fill its blocks"));
                }
                Operation::Patch { blocks, steps }
            }
            other => return Err(cursor.error(format!("operation {other} is not known"))),
        });
    }
    let rest = [&sizes, &sources, &counts, &adds, &literals, &seeks];
    if made != blocks || rest.iter().any(|column| !column.is_empty()) {
        return Err(cursor.error("its operations and their columns do not match"));
    }
    Ok(operations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OLD: u64 = 100;

    fn operation() -> impl Strategy<Value = Operation> {
        let step = (0..OLD * 4096 / 2, 0_u64..4096).prop_map(|(source, add)| Step {
            source,
            add,
            literal: 4096 - add,
        });
        prop_oneof![
            (0..OLD / 2, 1..OLD / 2).prop_map(|(source, blocks)| Operation::Copy { source, blocks }),
            (1..OLD).prop_map(|blocks| Operation::Zero { blocks }),
            (1..OLD).prop_map(|blocks| Operation::Data { blocks }),
            prop::collection::vec(step, 1..9)
                .prop_map(|steps| Operation::Patch { blocks: steps.len() as u64, steps }),
        ]
    }

    proptest! {
        #[test]
        fn tables_come_back(operations in prop::collection::vec(operation(), 0..20)) {
            let blocks = operations.iter().map(Operation::blocks).sum();
            prop_assert_eq!(decode(&encode(&operations), OLD, blocks).unwrap(), operations);
        }

        #[test]
        fn nothing_that_is_read_goes_beyond_the_images(bytes in prop::collection::vec(0_u8..8, 0..60)) {
            if let Ok(operations) = decode(&bytes, OLD, 50) {
                prop_assert_eq!(operations.iter().map(Operation::blocks).sum::<u64>(), 50);
                for operation in operations {
                    match operation {
                        Operation::Copy { source, blocks } => prop_assert!(source + blocks <= OLD),
                        Operation::Patch { steps, .. } => {
                            prop_assert!(steps.iter().all(|s| s.source + s.add <= OLD * BLOCK as u64));
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    #[test]
    fn what_reads_beyond_the_old_image_is_refused() {
        let table = encode(&[Operation::Copy { source: 90, blocks: 20 }]);
        assert!(decode(&table, 100, 20).is_err());
        assert!(decode(&table, 110, 20).is_ok());
        assert!(decode(&table, 110, 21).is_err());
    }
}
