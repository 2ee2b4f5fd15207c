//! TEMPORARY
use crate::record::*;
use std::borrow::Cow;
#[derive(Debug)]
pub struct Decision;
#[derive(Debug, Default)]
pub struct Scratch;
#[derive(Clone, Debug, Default)]
pub enum Rules<'d> {
    #[default]
    None,
    One(&'d str),
    Many(Vec<&'d str>),
}
impl<'d> Rules<'d> {
    pub fn as_slice(&self) -> &[&'d str] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}
#[derive(Clone, Debug)]
pub struct Verdict<'d> {
    pub validation: Validation,
    pub action: Action,
    pub class: &'static str,
    pub reason: Cow<'d, str>,
    pub rules: Rules<'d>,
}
impl Verdict<'_> {
    pub fn passes(&self) -> bool {
        true
    }
    pub fn needs_review(&self) -> bool {
        false
    }
}
#[derive(Debug, serde::Serialize)]
pub struct Explanation;
impl std::fmt::Display for Explanation {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
#[derive(Debug)]
pub struct Problems;
impl std::fmt::Display for Problems {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
impl std::error::Error for Problems {}
impl Decision {
    pub fn compile(_: &str, _: &str, _: Option<&str>, _: &[&str]) -> Result<Self, Problems> {
        Ok(Self)
    }
    pub fn decide<'d>(&'d self, _: &[Cell<'_>], _: &mut Scratch) -> Verdict<'d> {
        Verdict {
            validation: Validation::Valid,
            action: Action::Process,
            class: "decided",
            reason: "".into(),
            rules: Rules::None,
        }
    }
    pub fn explain(&self, _: &[Cell<'_>]) -> Explanation {
        Explanation
    }
}
