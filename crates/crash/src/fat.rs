//! FAT32 as firmware reads it: by one of its two FATs, names by their long entries where those are whole.

use crate::state::State;

/// A file system on the disk of a state.
pub(crate) struct Fat<'s, 'm> {
    state: &'s State<'m>,
    per_cluster: u64,
    table: u64,
    data: u64,
    end: u32,
    root: u32,
}

/// A name in a directory.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub text: String,
    pub cluster: u32,
    pub size: u32,
    pub directory: bool,
}

impl<'s, 'm> Fat<'s, 'm> {
    /// Opens the file system that begins at a sector; `copy` says which FAT is read.
    pub fn open(state: &'s State<'m>, start: u64, copy: u64) -> Option<Self> {
        let boot = state.bytes(start);
        let word = |at: usize| u64::from(boot[at]) | u64::from(boot[at + 1]) << 8;
        let long = |at: usize| word(at) | word(at + 2) << 16;
        if boot[510..] != [0x55, 0xaa] || word(11) != 512 || word(22) != 0 || boot[13] == 0 {
            return None;
        }
        let (reserved, fats, length) = (word(14), u64::from(boot[16]), long(36));
        let per_cluster = u64::from(boot[13]);
        let data = start + reserved + fats * length;
        let clusters = (start + long(32)).checked_sub(data)? / per_cluster;
        Some(Self {
            state,
            per_cluster,
            table: start + reserved + copy.min(fats - 1) * length,
            data,
            end: u32::try_from(clusters + 2).ok()?,
            root: long(44) as u32,
        })
    }

    fn next(&self, cluster: u32) -> u32 {
        let bytes = self.state.bytes(self.table + u64::from(cluster) / 128);
        let at = cluster as usize % 128 * 4;
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) & 0x0fff_ffff
    }

    /// The sectors of a chain; `None` if it leads to nowhere.
    pub fn sectors(&self, first: u32) -> Option<Vec<u64>> {
        let mut sectors = Vec::new();
        let mut cluster = first;
        let mut steps = 0;
        while cluster < 0x0fff_fff8 {
            if !(2..self.end).contains(&cluster) || steps > self.end {
                return None;
            }
            let at = self.data + u64::from(cluster - 2) * self.per_cluster;
            sectors.extend(at..at + self.per_cluster);
            cluster = self.next(cluster);
            steps += 1;
        }
        Some(sectors)
    }

    /// What is in a directory, by its first cluster; 0 is the root.
    pub fn names(&self, cluster: u32) -> Option<Vec<Name>> {
        let sectors = self.sectors(if cluster == 0 { self.root } else { cluster })?;
        let mut names = Vec::new();
        // The pieces of a long name, last first, and the checksum that they agree on.
        let mut pieces: Vec<(u8, [u8; 32])> = Vec::new();
        for entry in sectors.iter().flat_map(|sector| self.state.bytes(*sector).chunks_exact(32)) {
            match (entry[0], entry[11] & 0x3f) {
                (0, _) => return Some(names),
                (0xe5, _) => pieces.clear(),
                (order, 0x0f) => {
                    let mut piece = [0; 32];
                    piece.copy_from_slice(entry);
                    pieces.push((order, piece));
                }
                (_, attributes) => {
                    let long = long_name(&pieces, &entry[..11]);
                    pieces.clear();
                    if attributes & 0x08 != 0 || entry[0] == b'.' {
                        continue;
                    }
                    let word = |at: usize| u32::from(entry[at]) | u32::from(entry[at + 1]) << 8;
                    names.push(Name {
                        text: long.unwrap_or_else(|| short_name(&entry[..11])),
                        cluster: word(20) << 16 | word(26),
                        size: word(28) | word(30) << 16,
                        directory: attributes & 0x10 != 0,
                    });
                }
            }
        }
        Some(names)
    }

    /// Finds a path.
    pub fn find(&self, path: &str) -> Option<Name> {
        let mut cluster = 0;
        let mut found = None;
        for part in path.split('/') {
            let name = self.names(cluster)?.into_iter().find(|name| name.text.eq_ignore_ascii_case(part))?;
            cluster = name.cluster;
            found = Some(name);
        }
        found
    }

    /// The names in a directory by its path.
    pub fn list(&self, path: &str) -> Vec<Name> {
        self.find(path)
            .filter(|name| name.directory)
            .and_then(|name| self.names(name.cluster))
            .unwrap_or_default()
    }

    /// Faults that no cut may leave, whatever was going on: names that share clusters, or that lead to free ones. Two
    /// names of one file are one of them, unless they are of one directory and the same file.
    pub fn fault(&self) -> Option<String> {
        let mut owner = std::collections::HashMap::new();
        let mut directories = vec![(self.root, String::new())];
        let mut seen = std::collections::HashSet::new();
        while let Some((cluster, path)) = directories.pop() {
            let Some(names) = self.names(cluster) else {
                return Some(format!("the directory {path}/ leads nowhere"));
            };
            for name in names {
                let path = format!("{path}/{}", name.text);
                let twin =
                    !name.directory && !seen.insert((cluster, name.cluster, name.size)) && name.cluster != 0;
                if name.directory {
                    directories.push((name.cluster, path.clone()));
                }
                if name.cluster == 0 || twin {
                    continue;
                }
                let Some(sectors) = self.sectors(name.cluster) else {
                    return Some(format!("{path} leads nowhere"));
                };
                if !name.directory && (sectors.len() * 512) < name.size as usize {
                    return Some(format!("{path} is shorter than its size"));
                }
                for sector in sectors.iter().step_by(self.per_cluster as usize) {
                    if let Some(other) = owner.insert(*sector, path.clone()) {
                        return Some(format!("{path} and {other} share clusters"));
                    }
                }
            }
        }
        None
    }
}

fn short_name(bytes: &[u8]) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (stem, extension) = (part(&bytes[..8]), part(&bytes[8..]));
    if extension.is_empty() { stem } else { format!("{stem}.{extension}") }
}

/// The long name, if its pieces are all there, in order, and belong to the short one.
fn long_name(pieces: &[(u8, [u8; 32])], short: &[u8]) -> Option<String> {
    let sum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let count = pieces.len() as u8;
    let (first, _) = pieces.first()?;
    let in_order = pieces
        .iter()
        .zip((1..=count).rev())
        .all(|((order, piece), number)| order & 0x3f == number && piece[13] == sum);
    if first & 0x40 == 0 || !in_order {
        return None;
    }
    let mut units = Vec::new();
    for (_, piece) in pieces.iter().rev() {
        for range in [1..11, 14..26, 28..32] {
            units.extend(piece[range].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])));
        }
    }
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    String::from_utf16(&units[..end]).ok()
}
