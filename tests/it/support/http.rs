//! Placeholder: the scripted HTTP server.
