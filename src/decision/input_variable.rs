//! What a decision may read of a record: the input variables by name, and their types as far as they are known.

use super::feel::value::Kind;

/// An input variable that every record has.
#[derive(Clone, Copy, Debug)]
pub struct InputVariable<'f> {
    /// What expressions call it.
    pub name: &'f str,
    /// Its type; [`Kind::Any`] when that is not known.
    pub kind: Kind,
    /// How it hangs together with others.
    pub role: Role,
}

/// How an input variable hangs together with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Not at all.
    #[default]
    Free,
    /// A complete record has it.
    Required,
    /// Says whether all that are required are there.
    Complete,
}

impl<'f> From<&'f str> for InputVariable<'f> {
    fn from(name: &'f str) -> Self {
        Self {
            name,
            kind: Kind::Any,
            role: Role::Free,
        }
    }
}
