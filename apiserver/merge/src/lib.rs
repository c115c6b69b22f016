//! Server-side apply with managed fields, and JSON, merge and strategic merge patches.
