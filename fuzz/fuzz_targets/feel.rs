//! Any bytes as FEEL: read as an expression and as an input entry, with and without the strictness of a deciding table,
//! and computed. Nothing may panic, hang or overflow the stack.
#![no_main]

use datasync::decision::feel::eval::{Frame, evaluate, holds_any};
use datasync::decision::feel::parse::Scope;
use datasync::decision::feel::value::Value;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for strict in [true, false] {
        let mut scope = Scope::new(strict);
        for (slot, name) in ["a", "b", "Quality Score", "list"].into_iter().enumerate() {
            scope.add(name, slot);
        }
        let expression = scope.expression(text);
        let tests = scope.tests(text);
        let frame = || {
            let mut frame = Frame::default();
            frame.values = vec![
                Value::integer(7),
                Value::text("seven"),
                Value::Null,
                Value::list(vec![Value::integer(1), Value::text("b"), Value::Null]),
            ];
            frame.values.resize(scope.next_slot.max(4), Value::Null);
            frame
        };
        if let Ok(expression) = &expression {
            let value = evaluate(expression, &mut frame());
            let _text = (value.to_string(), value.literal(), expression.kind());
        }
        if let Ok(tests) = &tests {
            for input in [
                Value::integer(7),
                Value::text("b"),
                Value::Boolean(true),
                Value::Null,
            ] {
                let _holds = holds_any(tests, &input, &mut frame());
            }
        }
    }
});
