//! Erasing payloads from the journal. A segment is written anew as a whole and put in the place of the old one, so a crash
//! leaves one of the two.

use std::fs::{self, OpenOptions};
use std::io;

use super::super::frame;
use super::disk::write_whole;
use super::{Journal, Size};

impl Journal {
    /// Erases the payloads that are so, or only counts them. Their events stay known.
    pub(in super::super) fn erase(&mut self, is_so: &dyn Fn(&[u8]) -> bool, dry_run: bool) -> io::Result<Size> {
        let mut sum = Size::default();
        for number in self.closed.keys().copied().collect::<Vec<_>>() {
            let Some((found, text)) = self.without(number, "rows", is_so)? else { continue };
            sum = Size { bytes: sum.bytes + found.bytes, rows: sum.rows + found.rows };
            if !dry_run {
                write_whole(&self.dir, &self.path(number, "rows.part"), &self.path(number, "rows"), &text)?;
                if let Some(size) = self.closed.get_mut(&number) {
                    size.bytes = text.len() as u64;
                }
            }
        }
        if let Some(open) = &mut self.open {
            open.clean()?;
            let number = open.number;
            if let Some((found, text)) = self.without(number, "open", is_so)? {
                sum = Size { bytes: sum.bytes + found.bytes, rows: sum.rows + found.rows };
                if !dry_run {
                    let path = self.path(number, "open");
                    write_whole(&self.dir, &self.path(number, "open.part"), &path, &text)?;
                    if let Some(open) = &mut self.open {
                        open.file = OpenOptions::new().read(true).write(true).open(&path)?;
                        (open.length, open.marked) = (text.len() as u64, text.len() as u64);
                    }
                }
            }
        }
        Ok(sum)
    }

    /// How much is so in a segment, and the segment without it; none if nothing is.
    fn without(&self, number: u64, kind: &str, is_so: &dyn Fn(&[u8]) -> bool) -> io::Result<Option<(Size, Vec<u8>)>> {
        let path = self.path(number, kind);
        let text = fs::read(&path)?;
        let damaged = |_| io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is damaged", path.display()));
        let mut segment = frame::read(&text).map_err(damaged)?;
        let mut found = Size::default();
        for record in segment.records.iter_mut().filter(|record| !record.payload.is_empty() && is_so(record.payload)) {
            found.rows += 1;
            found.bytes += record.payload.len() as u64;
            record.payload = &[];
        }
        Ok((found.rows > 0).then(|| (found, frame::whole(segment.created, &segment.records))))
    }
}
