//! Rows of features on the device, standardised: all of them where the device can hold them, else those of one submit, sent
//! anew each time.

use kernels::RowTable;
use kernels::wgpu::ErrorFilter;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::features::Rows;
use crate::head::buffers::count;
use crate::head::standardise::Standard;
use crate::machine::gpu::Gpu;
use crate::progress::Progress;

/// Steps recorded into one submit: enough that its cost vanishes, few enough that a GPU's watchdog stays calm.
pub(crate) const STEPS: usize = 64;
/// Bytes of features that are sent at once.
const PIECE: usize = 64 << 20;

/// The adapter that holds rows, how many it may hold, and who is told where there are more.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'a> {
    pub gpu: &'a Gpu,
    pub most_rows: usize,
    pub progress: &'a dyn Progress,
}

/// Computes the elements of a row of a table, and the place of the 1 in it.
pub(crate) fn row_of(width: usize) -> (usize, usize) {
    let one = width.next_multiple_of(4);
    (one + 4, one)
}

/// Rows on the device, standardised.
///
/// A row of the table is a row's features, zeros up to a multiple of 4, and 1, 0, 0, 0: the weight of the 1 is the bias.
pub(crate) struct Table<'a> {
    gpu: &'a Gpu,
    rows: &'a Rows<'a>,
    standard: &'a Standard,
    /// The table on the device, for layers to be bound to.
    pub on_device: RowTable,
    /// Rows of a submit, at most.
    pub most: usize,
    resident: bool,
}

impl<'a> Table<'a> {
    /// Sends the rows, if they fit. A submit is for as many steps of `batch` rows as given, or fewer where that keeps
    /// memory small.
    ///
    /// # Errors
    /// The device has no memory even for the rows of a step, or is lost.
    pub fn new(
        memory: &Memory<'a>,
        rows: &'a Rows<'a>,
        standard: &'a Standard,
        batch: usize,
        steps: usize,
    ) -> Result<Self> {
        let Memory { gpu, most_rows, progress } = *memory;
        let (len, all) = (row_of(standard.width()).0, rows.len());
        let width = count("features", len)?;
        let table = |rows: usize, picks: usize| {
            let scope = gpu.device.push_error_scope(ErrorFilter::OutOfMemory);
            let table = RowTable::new(&gpu.context, count("rows", rows)?, width, count("rows", picks)?);
            match pollster::block_on(scope.pop()) {
                Some(error) => Err(Error::Device(format!("no memory for {rows} rows of {len} features: {error}"))),
                None => Ok(table?),
            }
        };
        let steps = steps.min(STEPS);
        let fits = all <= most_rows && all as u64 <= RowTable::capacity(&gpu.context, width);
        if let Some(on_device) = fits.then(|| table(all, steps * batch).ok()).flatten() {
            let table = Self { gpu, rows, standard, on_device, most: steps * batch, resident: true };
            table.send(&(0..all).collect::<Vec<_>>())?;
            return Ok(table);
        }
        progress.warn(&format!("{all} rows of {len} features don't fit the adapter: each pass sends them anew"));
        let most = steps.min(PIECE / (4 * len * batch)).max(1) * batch;
        let table = Self { gpu, rows, standard, on_device: table(most, most)?, most, resident: false };
        let places: Vec<u32> = (0..most as u32).collect();
        table.on_device.pick(&gpu.queue, &places)?;
        Ok(table)
    }

    /// Makes these rows the ones that a submit is for, in their order; a multiple of 4, at most [`Table::most`].
    ///
    /// # Errors
    /// The device is lost.
    pub fn place(&self, rows: &[usize]) -> Result<()> {
        if !self.resident {
            return self.send(rows);
        }
        let picks: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        Ok(self.on_device.pick(&self.gpu.queue, &picks)?)
    }

    /// Writes rows into the table, from its first on.
    fn send(&self, rows: &[usize]) -> Result<()> {
        let (len, one) = row_of(self.standard.width());
        let piece = (PIECE / (4 * len)).max(1);
        for (i, rows) in rows.chunks(piece).enumerate() {
            let mut values = vec![0.0; rows.len() * len];
            values.par_chunks_exact_mut(len).zip(rows).for_each(|(to, &row)| {
                self.standard.apply(self.rows.row(row), to);
                to[one] = 1.0;
            });
            self.on_device.write(&self.gpu.queue, count("rows", i * piece)?, &values)?;
            // What is staged stays in memory until it is copied.
            self.gpu.queue.submit([]);
            self.gpu.wait()?;
        }
        Ok(())
    }
}
