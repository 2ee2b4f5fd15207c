//! FEEL, the expression language of DMN: text → tree → value.

pub mod ast;
pub mod builtins;
mod duration;
pub mod eval;
pub mod parse;
pub mod temporal;
pub mod value;
