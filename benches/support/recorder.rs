//! A store that keeps the bytes of each commit and nothing else: what the queue does before a store is asked, and the
//! same bytes for a raw file beside it.

use std::sync::{Arc, Mutex, PoisonError};

use edgespool::queue::store::{Generation, Replaced, Store, StoreError, Tail, Visit};
use edgespool::queue::types::RowNo;

/// The bytes of each commit, its rows one after the other.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    commits: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    /// Takes what was recorded.
    #[must_use]
    pub fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.commits.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for Recorder {
    fn list(&self) -> Result<Vec<RowNo>, StoreError> {
        Ok(Vec::new())
    }

    fn create(&self, _: &[(RowNo, Vec<u8>)]) -> Result<Arc<dyn Generation>, StoreError> {
        Ok(Arc::new(self.clone()))
    }

    fn open(&self, _: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        Ok(Arc::new(self.clone()))
    }

    fn remove(&self, _: RowNo) -> Result<(), StoreError> {
        Ok(())
    }

    fn tail(&self) -> Option<Tail> {
        None
    }

    fn begin(&self) -> Visit {
        Visit {
            session: 1,
            moved: false,
        }
    }

    fn resume(&self, first: RowNo, _: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        self.open(first)
    }

    fn replace(&self, first: RowNo) -> Result<Replaced, StoreError> {
        Ok(Replaced {
            generation: self.open(first)?,
            directory: String::new(),
            rows: 0,
        })
    }

    fn is_salvaged(&self, _: RowNo) -> bool {
        false
    }

    fn note_tail(&self, _: Tail) {}
}

impl Generation for Recorder {
    fn append(&self, rows: &[(RowNo, Vec<u8>)]) -> Result<(), StoreError> {
        let bytes = rows.iter().flat_map(|(_, row)| row.iter().copied()).collect();
        self.commits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(bytes);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&self, _: RowNo) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn last(&self) -> Result<Option<RowNo>, StoreError> {
        Ok(None)
    }

    fn at_or_after(&self, _: RowNo) -> Result<Option<RowNo>, StoreError> {
        Ok(None)
    }
}
