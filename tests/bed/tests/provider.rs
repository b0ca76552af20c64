use serde_json::json;

use crate::bed::provider::{control, user_text};

#[test]
fn the_user_text_is_what_came_after_the_last_answer_without_internal_context() {
    let request = json!({"messages": [
        {"role": "system", "content": "rules"},
        {"role": "user", "content": "FAIL:500"},
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": [{"type": "text", "text": "SLEEP:"}, {"type": "text", "text": "20 please"}]},
        {"role": "user", "content": "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>> FAIL:400"},
    ]});
    let user = user_text(&request);
    assert_eq!(user, "SLEEP:20 please");
    assert_eq!(control(&user, "SLEEP:"), Some(20));
    assert_eq!(control(&user, "FAIL:"), None);
}
