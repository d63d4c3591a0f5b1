//! What a request has taken of its caller's limits before its turn is known.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// The permit; none once it is taken.
type Held = Option<Box<dyn Any + Send>>;

/// The permit that a request took before its body was read.
///
/// Clones share it: the first turn that [takes](Self::take) it has it, and further turns of the request have to ask for themselves.
/// What nobody takes goes with the last clone.
#[derive(Clone, Default)]
pub struct Entry(Option<Arc<Mutex<Held>>>);

impl Entry {
    /// One that holds `permit`.
    pub fn new(permit: impl Any + Send) -> Self {
        Self(Some(Arc::new(Mutex::new(Some(Box::new(permit))))))
    }

    /// The permit, where it is a `T` and nobody has taken it.
    pub fn take<T: Any>(&self) -> Option<T> {
        let mut held = self
            .0
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match held.take()?.downcast() {
            Ok(permit) => Some(*permit),
            Err(other) => {
                *held = Some(other);
                None
            }
        }
    }
}

/// Always equal: the permit is no part of a caller's identity.
impl PartialEq for Entry {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Entry {}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Entry")
            .field(&self.0.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_who_takes_it_has_it() {
        let entry = Entry::new(7_u32);
        let other = entry.clone();
        assert_eq!(other.take::<String>(), None);
        assert_eq!((other.take::<u32>(), entry.take::<u32>()), (Some(7), None));
        assert_eq!(Entry::default().take::<u32>(), None);
    }
}
