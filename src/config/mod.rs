//! Flags > environment > `.env` > `mappings.yaml`, resolved once into the plain types of [`plan`].

pub mod plan;
pub mod secret;
