//! What items are made of: the name and the number of a type, as one word that a worker may leave
//! for others to read.
//!
//! A poll writes down the type of the future or closure that it runs, with one store, so that who
//! looks at the worker (a report, a dump) can name what keeps it. Not for users' names of tasks,
//! and not exact: what is read may be the item before.

use std::any::{TypeId, type_name};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A type of futures or closures. There may be several of these for one type.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What the compiler calls it.
    name: fn() -> &'static str,
    /// Its number.
    number: fn() -> KindNumber,
}

impl Kind {
    /// The kind of items that are made of an `F`.
    #[inline(always)]
    pub(crate) fn of<F: 'static>() -> &'static Kind {
        Of::<F>::KIND
    }

    /// The kind of items that are made of an `F` which may borrow, and which therefore has no
    /// number of its own: it is known by its name.
    pub(crate) fn of_borrower<F>() -> &'static Kind {
        Of::<F>::BY_NAME
    }

    /// What the compiler calls the type.
    pub(crate) fn name(&self) -> &'static str {
        (self.name)()
    }

    /// The number of the type.
    #[inline]
    pub(crate) fn number(&self) -> KindNumber {
        (self.number)()
    }
}

/// Bears the constant of a type.
struct Of<F>(PhantomData<F>);

impl<F: 'static> Of<F> {
    /// In static memory, one for each type that is used.
    const KIND: &'static Kind = &Kind {
        name: type_name::<F>,
        number: KindNumber::of::<F>,
    };
}

impl<F> Of<F> {
    /// In static memory, one for each type that is used, whatever its lifetimes are.
    const BY_NAME: &'static Kind = &Kind {
        name: type_name::<F>,
        number: KindNumber::of_name::<F>,
    };
}

/// The number of a type; types that share one are taken for the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct KindNumber(u64);

impl KindNumber {
    /// Bits that numbers leave free, for whoever packs one into a word.
    pub(crate) const FREE_BITS: u64 = 0xff;

    /// The number of `F`.
    fn of<F: 'static>() -> KindNumber {
        let mut taker = HashTaker(0);
        TypeId::of::<F>().hash(&mut taker);
        KindNumber(taker.0 & !KindNumber::FREE_BITS)
    }

    /// The number of whatever has the name of `F`.
    fn of_name<F>() -> KindNumber {
        let mut hasher = DefaultHasher::new();
        type_name::<F>().hash(&mut hasher);
        KindNumber(hasher.finish() & !KindNumber::FREE_BITS)
    }

    /// As bits, the free ones clear.
    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }
}

/// Takes what a type's number hashes to as it is: that is a hash already.
struct HashTaker(u64);

impl Hasher for HashTaker {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What a worker runs, or ran last. Written by the worker alone.
pub(crate) struct Doing(AtomicPtr<Kind>);

impl std::fmt::Debug for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Doing").field(&self.get()).finish()
    }
}

impl Doing {
    /// Nothing yet.
    pub(crate) fn new() -> Doing {
        Doing(AtomicPtr::new(ptr::null_mut()))
    }

    /// Notes what is about to be polled.
    #[inline(always)]
    pub(crate) fn set(&self, kind: &'static Kind) {
        // Relaxed: what it points to was never written.
        self.0
            .store(ptr::from_ref(kind).cast_mut(), Ordering::Relaxed);
    }

    /// What was noted last. Waits for nothing and takes no memory.
    pub(crate) fn get(&self) -> Option<&'static Kind> {
        // Relaxed: as above.
        let kind = self.0.load(Ordering::Relaxed);
        // SAFETY: null, or from a `&'static Kind`; nobody ever has a mutable reference to it.
        unsafe { kind.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a type has one number and its own name, wherever it is asked for.
    #[test]
    fn kinds_name_and_number_types() {
        struct Reader;
        struct Writer;
        let (reader, writer) = (Kind::of::<Reader>(), Kind::of::<Writer>());
        assert!(reader.name().ends_with("::Reader"), "{}", reader.name());
        assert!(writer.name().ends_with("::Writer"), "{}", writer.name());
        assert_eq!(reader.number(), Kind::of::<Reader>().number());
        assert_ne!(reader.number(), writer.number());
        assert_eq!(reader.number().bits() & KindNumber::FREE_BITS, 0);
    }

    /// Goal: types that borrow are told apart by their names, and keep them.
    #[test]
    fn borrowers_are_known_by_name() {
        struct Reader<'a>(PhantomData<&'a u8>);
        struct Writer<'a>(PhantomData<&'a u8>);
        fn kind_of<'a>(_: &'a u8) -> [&'static Kind; 2] {
            [
                Kind::of_borrower::<Reader<'a>>(),
                Kind::of_borrower::<Writer<'a>>(),
            ]
        }
        let [reader, writer] = kind_of(&0);
        assert!(reader.name().contains("::Reader"), "{}", reader.name());
        assert_eq!(reader.number(), kind_of(&1)[0].number());
        assert_ne!(reader.number(), writer.number());
        assert_eq!(reader.number().bits() & KindNumber::FREE_BITS, 0);
    }

    /// Goal: what was noted last is what is read.
    #[test]
    fn the_last_note_is_read() {
        let doing = Doing::new();
        assert!(doing.get().is_none());
        doing.set(Kind::of::<u8>());
        doing.set(Kind::of::<u16>());
        assert_eq!(doing.get().map(Kind::name), Some("u16"));
    }
}
