//! The derived state: ordered keys and values, as few calls as the views need. sled stands behind it today; the simulation
//! puts a map here that can be lost or older than the journal.

use std::collections::BTreeMap;

use crate::sled_state::StateError;

/// Keys with their new values; `None` erases.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
/// A key with its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Ordered keys and values.
pub trait State: Send + Sync + 'static {
    /// Value of a key.
    ///
    /// # Errors
    /// Reading.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// At most `limit` pairs with `from <= key < to`, in order.
    ///
    /// # Errors
    /// Reading.
    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StateError>;

    /// Last pair with `from <= key < to`.
    ///
    /// # Errors
    /// Reading.
    fn last_before(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, StateError>;

    /// Writes all changes. After a crash in the middle, the next opening finds either none of them or all.
    ///
    /// # Errors
    /// Writing.
    fn write(&self, changes: &Changes) -> Result<(), StateError>;
}
