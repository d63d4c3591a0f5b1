//! Rate limit permit of a request that was admitted before its turn is known.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Permit of the request; `None` once it is taken.
type HeldPermit = Option<Box<dyn Any + Send>>;

/// Permit that a request took before its body was read.
///
/// Clones share the permit: the first turn that [takes](Self::take) it gets it, and further turns
/// of the request have to be admitted by themselves. A permit that is not taken is released with
/// the last clone.
#[derive(Clone, Default)]
pub struct RequestPermit(Option<Arc<Mutex<HeldPermit>>>);

impl RequestPermit {
    /// Creates an entry that holds `permit`.
    pub fn new(permit: impl Any + Send) -> Self {
        Self(Some(Arc::new(Mutex::new(Some(Box::new(permit))))))
    }

    /// Takes the permit, if it is a `T` and was not taken before.
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

/// Always equal: the permit is not part of a caller's identity.
impl PartialEq for RequestPermit {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for RequestPermit {}

impl fmt::Debug for RequestPermit {
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
    fn request_permit_is_taken_once() {
        let entry = RequestPermit::new(7_u32);
        let other = entry.clone();
        assert_eq!(other.take::<String>(), None);
        assert_eq!((other.take::<u32>(), entry.take::<u32>()), (Some(7), None));
        assert_eq!(RequestPermit::default().take::<u32>(), None);
    }
}
