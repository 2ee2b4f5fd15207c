//! No closure and no function value takes an owned value that is not `Copy`.
//!
//! rustc 1.77 to 1.96 miscompiles such calls at opt-level 2 and 3 (rust-lang/rust issues 155241 and 158830; mended in
//! 1.97.1): where a closure is called twice with the same constant, such as `String::new()`, both calls get the same memory, and
//! a closure that changes its argument in place leaves the second call a value that was freed. It happened in
//! `case show`, which aborted in every release build while all tests of the debug build passed. So whatever is called
//! through `Fn`, `FnMut` or `FnOnce` borrows its arguments here. Closures that are handed to the standard library, whose
//! argument has no written type, are exempt: the library calls them with values of its own, not with constants.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// Types that are `Copy`.
const COPY: [&str; 26] = [
    "bool",
    "char",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "usize",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "isize",
    "f32",
    "f64",
    "Date",
    "DateTime",
    "Decimal",
    "Duration",
    "Instant",
    "Kind",
    "Part",
    "Reader",
    "Shard",
    "ValueSource",
];

/// Owned values that may be handed to a closure, and why that is safe.
const ALLOWED: [(&str, &str); 5] = [
    ("Error", "what a failed call returned is no constant"),
    ("Problems", "what a failed call returned is no constant"),
    ("Answer", "an answer of the API is no constant"),
    ("Box", "one pointer, passed in a register"),
    ("Range", "two words, passed in registers"),
];

#[derive(Default)]
struct Finder {
    found: Vec<(usize, String)>,
}

impl Finder {
    fn note(&mut self, at: proc_macro2::Span, what: String) {
        self.found.push((at.start().line, what));
    }
}

/// Borrowed, `Copy`, or generic in a way that cannot be seen here?
fn is_harmless(ty: &syn::Type) -> bool {
    match ty {
        syn::Type::Reference(_) | syn::Type::Ptr(_) | syn::Type::BareFn(_) => true,
        syn::Type::Paren(inner) => is_harmless(&inner.elem),
        syn::Type::Tuple(tuple) => tuple.elems.iter().all(is_harmless),
        syn::Type::Array(array) => is_harmless(&array.elem),
        syn::Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let name = last.ident.to_string();
            match &last.arguments {
                syn::PathArguments::AngleBracketed(arguments) if name == "Option" => {
                    arguments.args.iter().all(|argument| {
                        matches!(argument, syn::GenericArgument::Type(ty) if is_harmless(ty))
                    })
                }
                _ => {
                    COPY.contains(&name.as_str())
                        || name.ends_with("Error")
                        || ALLOWED.iter().any(|(allowed, _)| name == *allowed)
                }
            }
        }),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let Some(init) = &local.init
            && let syn::Expr::Closure(closure) = &*init.expr
        {
            for input in &closure.inputs {
                if matches!(
                    input,
                    syn::Pat::Ident(_) | syn::Pat::Tuple(_) | syn::Pat::Struct(_)
                ) {
                    self.note(
                        input.span(),
                        "the closure has a name and its argument no type: write the type"
                            .to_owned(),
                    );
                }
            }
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        for input in &closure.inputs {
            if let syn::Pat::Type(typed) = input
                && !is_harmless(&typed.ty)
            {
                self.note(input.span(), "a closure takes an owned value".to_owned());
            }
        }
        visit::visit_expr_closure(self, closure);
    }

    fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
        if let syn::PathArguments::Parenthesized(arguments) = &segment.arguments {
            for ty in arguments.inputs.iter().filter(|ty| !is_harmless(ty)) {
                self.note(ty.span(), format!("{} takes an owned value", segment.ident));
            }
        }
        visit::visit_path_segment(self, segment);
    }

    fn visit_type_bare_fn(&mut self, function: &'ast syn::TypeBareFn) {
        for argument in function
            .inputs
            .iter()
            .filter(|argument| !is_harmless(&argument.ty))
        {
            self.note(
                argument.span(),
                "a function value takes an owned value".to_owned(),
            );
        }
        visit::visit_type_bare_fn(self, function);
    }
}

/// What is wrong in this text: line and reason.
fn find(text: &str) -> Vec<(usize, String)> {
    let mut finder = Finder::default();
    finder.visit_file(&syn::parse_file(text).expect("Rust source"));
    finder.found
}

#[test]
fn closures_and_function_values_borrow_their_arguments() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for path in super::rust_files(&["src"]) {
        let text = std::fs::read_to_string(&path).expect("a source file");
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        for (line, what) in find(&text) {
            wrong.push(format!("{name}:{line}: {what}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rule_sees_every_form() {
    for bad in [
        "fn f() { let mut out = String::new(); let mut line = |text: String| out.push_str(&(text + \"\\n\")); }",
        "fn f() { let line = |text| drop::<String>(text); }",
        "fn f(line: impl FnMut(String)) {}",
        "fn f(line: &mut dyn FnMut(Vec<u8>, bool)) {}",
        "fn f<F>(line: F) where F: FnOnce(Option<String>) {}",
        "fn f(line: fn(String) -> usize) {}",
        "fn f() { call(|text: PathBuf| drop(text)) }",
    ] {
        assert_eq!(find(bad).len(), 1, "{bad}");
    }
    for good in [
        "fn f() { let mut line = |text: &str| print(text); }",
        "fn f(line: impl FnMut(&str, u64, Option<&str>) -> String) {}",
        "fn f(texts: Vec<String>) { texts.into_iter().map(|mut text| { text.push('x'); text }); }",
    ] {
        assert_eq!(find(good), Vec::new(), "{good}");
    }
}
