//! Panics: where they begin, and how far they get.
//!
//! The text of a panic may hold anything that the code had in hand, credentials and people's files included. So only texts that stand
//! in the program itself are logged, and nothing but the place is handed on.

use std::{
    any::Any,
    backtrace::Backtrace,
    cell::RefCell,
    fmt,
    panic::{AssertUnwindSafe, Location, PanicHookInfo},
    pin::pin,
    task::Poll,
};

thread_local! {
    /// Where the last panic of this thread began.
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Where a panic began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    fn of(location: &Location<'_>) -> Self {
        Self(format!("{}:{}", short(location.file()), location.line()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The file without the folders of the machine that built the program: from the crate's name on.
fn short(file: &str) -> &str {
    let in_registry = file
        .split_once("/registry/src/")
        .and_then(|(_, file)| file.split_once('/'));
    in_registry.map_or(file, |(_, file)| file)
}

/// From now on panics are logged as everything else is, and [`catch`] learns where they began.
pub fn watch() {
    std::panic::set_hook(Box::new(|info| {
        log(info);
        note(info);
    }));
}

/// The same beside the hook that is there, which tells people why a test failed.
#[cfg(test)]
pub(crate) fn note_places() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            note(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(Place::of);
    // A thread that ends has no place to remember any more, and nobody who asks for it.
    PLACE.try_with(|last| last.replace(place)).ok();
}

fn log(info: &PanicHookInfo<'_>) {
    tracing::error!(
        place = info.location().map(|location| tracing::field::display(Place::of(location))),
        text = fixed_text(info.payload()),
        backtrace = %Backtrace::force_capture(),
        "panicked; this is a fault of Mission Operator, please report it"
    );
}

/// What a panic says, if that is a text of the program itself and not one that was put together from what it had in hand.
fn fixed_text(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("not shown, because it may hold data")
}

/// A panic that was caught: where it began, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught(pub Option<Place>);

/// Runs a future to its end, or to its first panic.
pub async fn catch<F: Future>(future: F) -> Result<F::Output, Caught> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let poll = AssertUnwindSafe(|| future.as_mut().poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(poll) => poll.map(Ok),
            // The hook has run on this thread just now.
            Err(_) => Poll::Ready(Err(Caught(PLACE.take()))),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_does_not_tell_where_the_program_was_built() {
        for (file, shown) in [
            ("src/plan/render.rs", "src/plan/render.rs"),
            (
                "cargo/registry/src/mirror-1949cf8c6b5b557f/minijinja-3.0.5/src/vm/mod.rs",
                "minijinja-3.0.5/src/vm/mod.rs",
            ),
        ] {
            assert_eq!(short(file), shown);
        }
    }

    #[test]
    fn only_texts_of_the_program_itself_are_logged() {
        let panicked = |with: fn()| std::panic::catch_unwind(with).unwrap_err();
        let fixed = panicked(|| panic!("a text of the program"));
        assert_eq!(fixed_text(&*fixed), "a text of the program");
        let made = panicked(|| {
            let token = std::hint::black_box("s3cr3t");
            panic!("cannot read {token}");
        });
        assert!(!fixed_text(&*made).contains("s3cr3t"));
    }

    #[tokio::test]
    async fn a_panic_is_caught_after_a_wait_as_well_and_its_place_is_known() {
        note_places();
        let panics = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "here");
        };
        let Err(Caught(Some(place))) = catch(panics).await else {
            panic!("it is caught, and its place known");
        };
        assert!(place.to_string().starts_with("src/unwind.rs:"), "{place}");
        assert_eq!(catch(async { 7 }).await, Ok(7));
    }
}
