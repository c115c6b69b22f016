//! The documents of the wire: discovery, OpenAPI, tables, media types, protobuf and YAML bodies.
