//! Rows of an optimiser's parameters, of which the weight decay is for the first ones: the rest are biases.

use crate::{Context, Error};

/// Checks that parameters are whole rows, in one binding where there are several.
pub(crate) fn check_rows(context: &Context, op: &'static str, [len, row, decayed]: [u32; 3]) -> Result<(), Error> {
    if row == 0 || decayed > row || !len.is_multiple_of(row) {
        return Err(Error::shape(op, format_args!("{len} parameters in rows of {row}, of which {decayed} decay")));
    }
    match row == len && decayed == len {
        true => Ok(()),
        false => context.room().check(op, "parameters in rows", len.into()),
    }
}
