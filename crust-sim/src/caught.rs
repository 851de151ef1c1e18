//! Panics as failures of a run.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// What the panic was that unwinds this thread, where somebody wants to know.
    static PANIC: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

/// Runs something that may panic: its result, or the panic's words and place, which nobody prints.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let wanted = PANIC.with_borrow_mut(|panic| match panic {
                Some(first) => {
                    first.get_or_insert_with(|| info.to_string().replace('\n', " "));
                    true
                }
                None => false,
            });
            if !wanted {
                before(info);
            }
        }));
    });
    let outer = PANIC.replace(Some(None));
    let result = catch_unwind(AssertUnwindSafe(run));
    let panic = PANIC.replace(outer).flatten();
    result.map_err(|_| panic.unwrap_or_else(|| "a panic without a word".into()))
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    fn a_panic_is_told_with_its_words_and_its_place() {
        let told = caught(|| -> u32 { panic!("this must not be") }).unwrap_err();
        assert!(told.contains("this must not be") && told.contains("caught.rs"), "{told}");
        assert_eq!(caught(|| 7), Ok(7));
    }
}
